"""Files made from what was taught: the model, and the annotations for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.recipe import RecipeChoice
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.teach.learning import Learned, Lesson, common_pixel_size


@dataclass(frozen=True, slots=True)
class Lessons:
    """What goes into a model file beside the head.

    Attributes
    ----------
    lesson : Lesson
    images : sequence of SemImage
        Those whose tiles are in the lesson, as far as they are open.
    rules : sequence of (class name, share)
    min_share : float
    device : str
    choice : RecipeChoice, optional
        How the way of looking was found, where that was asked for.
    """

    lesson: Lesson
    images: Sequence[SemImage]
    rules: Sequence[tuple[str, float]]
    min_share: float
    device: str
    choice: RecipeChoice | None = None


def save(path: Path, lessons: Lessons, last: Learned | None) -> Callable[[JobContext], Path]:
    """Task: write the model; it is fitted and scored first where the last fit is out of date."""
    # Refused before a thread starts: a class without tiles would be in the model's list for ever.
    check_teachable(lessons.lesson.counts, lessons.lesson.class_names)

    def task(context: JobContext) -> Path:
        from napari_sem_classify.core.common.files import ensure_folder
        from napari_sem_classify.core.model.file import save_model
        from napari_sem_classify.core.teach.head_fit import teach_head

        lesson = lessons.lesson
        if last is not None and last.scored and last.lesson is lesson:
            taught = last.taught
        else:
            taught = teach_head(
                lesson.features,
                lesson.labels,
                lesson.class_names,
                groups=lesson.places.image if len(lesson.keys) > 1 else None,
                places=lesson.places,
                job=context,
            )
        card = _card(path.stem, lessons, taught.temperature, taught.scores_for_card())
        ensure_folder(path.parent)
        return save_model(path, TileClassifier(card, taught.head))

    return task


def _card(name: str, lessons: Lessons, temperature: float, scores: dict[str, object]) -> ModelCard:
    from napari_sem_classify.core.classify.record import run_record
    from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_sha256
    from napari_sem_classify.core.teach.teach import STAGES

    lesson = lessons.lesson
    settings = {
        "tile_px": lesson.places.tile_px,
        "min_share": lessons.min_share,
        "contains": dict(lessons.rules),
        "annotated_tiles": dict(zip(lesson.class_names, lesson.counts.tolist(), strict=True)),
        "images": [image.name for image in lessons.images],
    }
    record = run_record(job="teach", settings=settings)
    record["engine"] = {"device": lessons.device}
    if lessons.choice is not None:
        record["recipe"] = lessons.choice.to_dict()
    return ModelCard(
        name=name,
        classes=lesson.classes,
        tile_px=lesson.places.tile_px,
        network_px=lesson.recipe.network_px,
        pixel_size_nm=common_pixel_size(lessons.images),
        intensity=lesson.recipe.intensity,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=backbone_sha256(DEFAULT_BACKBONE),
        stages=STAGES,
        temperature=temperature,
        scores=scores,
        record=record,
    )
