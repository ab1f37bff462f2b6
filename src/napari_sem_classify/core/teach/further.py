"""A model taught further on tiles of other images, without the images that taught it.

The head that is there stays, and only what the new tiles add to it is fitted: with ``W`` the head,
``argmin C * sum_i crossentropy(y_i, (W + D) z_i) + 1/2 ||D||^2``. Keeping a sample of the old
tiles and fitting all anew was worse, see `benchmarks/ten_tiles.py`: what thousands of tiles taught
is in the head, and not in a sample of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import AnnotationError, ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.file import head_sha256
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.stage_heads import StageHeads, stage_columns
from napari_sem_classify.core.model.surroundings import ALONE
from napari_sem_classify.core.teach.around import features_on, planes_of
from napari_sem_classify.core.teach.folds import Folds, TilePlaces, plan_folds
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.core.teach.lesson import Lesson, TeachingSet, gather
from napari_sem_classify.core.teach.logistic import make_basis, solve
from napari_sem_classify.core.teach.looked import look_at_all, sights_of
from napari_sem_classify.core.teach.taught_model import images_told
from napari_sem_classify.core.teach.teach import Pair, annotations_from_masks
from napari_sem_classify.core.teach.teach_options import TeachOptions

STRENGTH = 1e-3
REASON = (
    "It was taught further, and the tiles that taught it first are not at hand: evaluate it on "
    "annotated images."
)


@dataclass(frozen=True, slots=True)
class TaughtFurther:
    """A model taught further, and what that did on the new tiles.

    Attributes
    ----------
    before : float
        Share of the new tiles that the model had right before.
    after : float or None
        The same after, for tiles that were left out in turn with all near them; None where they
        are too few for that.
    tiles : {class name: int}
        New tiles.
    """

    classifier: TileClassifier
    before: float
    after: float | None
    tiles: Mapping[str, int]


def further_head(
    head: Head, features: NDArray[Any], labels: NDArray[Any], strength: float = STRENGTH
) -> Head:
    """The head with what some tiles add to it.

    Parameters
    ----------
    features : float, shape (N, features)
        As the head takes them.
    labels : int, shape (N,)
        Class numbers of the head; tiles of a single class are enough.
    """
    basis = make_basis(features, like=head)
    said = head.logits(features)
    found = solve(basis.coordinates, labels, len(head.bias), strength, before=said)
    more = basis.to_head(found)
    return replace(head, weight=head.weight + more.weight, bias=head.bias + more.bias)


def further_stages(
    stages: StageHeads, head: Head, features: NDArray[Any], labels: NDArray[Any]
) -> StageHeads:
    """The heads of the stages with what some tiles add to them; `head` is the model's own.

    Where the tiles that taught first lie stays as it was.
    """
    weight, bias = stages.weight.copy(), stages.bias.copy()
    copies = stages.weight.shape[1] // sum(stages.sizes)
    for number, columns in enumerate(stage_columns(stages.sizes, copies)):
        own = stages.weight[:, columns]
        mean, scale = head.mean[columns], head.scale[columns]
        plain = Head(mean, scale, own * scale, stages.bias[number] + own @ mean)
        found = further_head(plain, features[:, columns], labels)
        weight[:, columns] = found.weight / scale
        bias[number] = found.bias - weight[:, columns] @ mean
    return replace(stages, weight=weight, bias=bias)


def further_taught(classifier: TileClassifier, lesson: Lesson | None = None) -> Taught:
    """What a model says once it learned the tiles of a lesson too, of its classes in their order.

    Without a lesson or a tile it is the model itself. What is known of other specimens is the
    model's own.
    """
    card, head, stages = classifier.card, classifier.head, classifier.stages
    if lesson is not None and len(lesson.labels):
        features = _features(classifier, lesson)
        if stages is not None:
            stages = further_stages(stages, head, features, lesson.labels)
        head = further_head(head, features, lesson.labels)
    return Taught(
        head,
        STRENGTH,
        card.temperature,
        None,
        REASON if lesson is not None and len(lesson.labels) else "",
        card.surroundings,
        stages=stages,
        transfer=card.transfer,
    )


def check_further(card: ModelCard) -> None:
    """Refuse a model that cannot be taught further.

    Raises
    ------
    ModelError
        When it is fine-tuned or for dense maps.
    """
    if card.kind != "taught" or card.dense:
        kind = "fine-tuned" if card.kind != "taught" else "for dense maps"
        raise ModelError(
            f"The model {card.name} is {kind}, and only taught ones can be taught further: train "
            "it again with all its images."
        )


def recipe_of(card: ModelCard) -> Recipe:
    """The way in which a model looks at tiles."""
    return Recipe(card.intensity, card.network_px, card.backbone_id)


def teach_further(
    classifier: TileClassifier,
    pairs: Sequence[Pair],
    classes: Sequence[tuple[int, str]],
    options: TeachOptions,
    *,
    specimens: Sequence[str] | None = None,
    job: Job | None = None,
) -> TaughtFurther:
    """Teach a model further from images and label images of the same size.

    Tiles have the physical size that the model learned from.

    Parameters
    ----------
    classes : sequence of (label value, class name)
        Some or all of the model's own classes.
    options : TeachOptions
        Shares, rules, device and name; the tile and the way of looking are the model's.

    Raises
    ------
    ModelError
        When the model is fine-tuned or for dense maps.
    AnnotationError
        When a class is not the model's, or no tile has a class.
    ImageError, GridError
        When an image cannot be read or a tile would be too small.
    Cancelled
        When the job was asked to stop.
    """
    start = time.perf_counter()
    card = classifier.card
    check_further(card)
    unknown = [name for _, name in classes if name not in card.class_names]
    if unknown:
        raise AnnotationError(
            f'The model {card.name} has no class "{unknown[0]}": use its classes, which are '
            f"{', '.join(card.class_names)}, or teach a new model."
        )
    recipe = recipe_of(card)
    engine = options.engine(recipe)
    parts: list[_Part] = []
    rows: list[dict[str, Any]] = []
    for number, pair in enumerate(pairs):
        tile = ClassifyOptions().grid_for(pair[0], card).grid.tile
        wish = replace(options, tile_px=tile, recipes=(recipe,))
        said = None if specimens is None else specimens[number : number + 1]
        told = annotations_from_masks([pair], classes, wish, None, said, few=True)
        annotations = replace(told.annotations, classes=card.classes)
        around = card.surroundings != ALONE
        sights = sights_of(annotations, told.images, tile, wish.stride_px, around=around)
        seen = look_at_all(sights, recipe, engine, job)
        lesson = gather(annotations, seen, tile, recipe)
        parts.append(_Part(lesson, _features(classifier, lesson), tile))
        rows += images_told(replace(told, annotations=annotations), lesson)
    return _taught(classifier, parts, rows, options, start)


def teach_lesson_further(
    classifier: TileClassifier, material: TeachingSet, lesson: Lesson, options: TeachOptions
) -> TaughtFurther:
    """Teach a model further from tiles that were looked at already; refuses as `teach_further`.

    Parameters
    ----------
    material : TeachingSet
        What the lesson was gathered from, with the model's classes in their order.
    """
    check_further(classifier.card)
    start = time.perf_counter()
    part = _Part(lesson, _features(classifier, lesson), options.tile_px)
    return _taught(classifier, [part], images_told(material, lesson), options, start)


@dataclass(frozen=True, slots=True)
class _Part:
    """New tiles of one size, with features as the head takes them."""

    lesson: Lesson
    features: NDArray[np.float32]
    tile_px: int


def _features(classifier: TileClassifier, lesson: Lesson) -> NDArray[np.float32]:
    how, usual = classifier.card.surroundings, classifier.head.usual
    found = np.empty((len(lesson.labels), len(classifier.head.mean)), dtype=np.float32)
    for _, seen, rows in planes_of(lesson):
        found[rows] = features_on(seen, seen.rows_of(lesson.numbers[rows]), how, usual)
    return found


def _taught(
    classifier: TileClassifier,
    parts: Sequence[_Part],
    rows: Sequence[Mapping[str, Any]],
    options: TeachOptions,
    start: float,
) -> TaughtFurther:
    from napari_sem_classify.core.classify.record import run_record

    card, head = classifier.card, classifier.head
    features = np.concatenate([part.features for part in parts])
    labels = np.concatenate([part.lesson.labels for part in parts])
    if not len(labels):
        raise AnnotationError(
            "No tile of these images has a class: annotate some, or ask for a smaller share of a "
            "tile with --min-share."
        )
    counts = np.bincount(labels, minlength=len(card.classes)).tolist()
    settings = {"min_share": options.min_share, "seed": options.seed, "tile_px": card.tile_px}
    engine = parts[0].lesson.engine
    seconds = time.perf_counter() - start
    record = run_record(job="teach", engine=engine, settings=settings, seconds=seconds)
    record |= {
        "images": [*_rows_before(card.record), *rows],
        "taught_further": {"from": card.name, "head_sha256": head_sha256(head)},
    }
    fresh = replace(
        card,
        name=options.name,
        scores={"reason": REASON},
        record=record,
        transfer=None,
    ).versioned()
    before = head.logits(features).argmax(axis=1) == labels
    return TaughtFurther(
        TileClassifier(fresh, further_head(head, features, labels)),
        float(before.mean()),
        _after(head, features, labels, card.class_names, parts),
        dict(zip(card.class_names, counts, strict=True)),
    )


def _rows_before(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The images that taught first, as far as a card of any age and origin tells of them."""
    images = record.get("images")
    found = []
    for row in images if isinstance(images, list) else ():
        tiles = row.get("tiles") if isinstance(row, dict) else None
        if not isinstance(tiles, dict) or not isinstance(row.get("name"), str):
            continue
        if all(isinstance(count, int) for count in tiles.values()):
            specimen = row.get("specimen")
            named = specimen if isinstance(specimen, str) else row["name"]
            found.append({**row, "specimen": named})
    return found


def _after(
    head: Head,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    parts: Sequence[_Part],
) -> float | None:
    """Share of tiles that heads which had not seen them, nor their neighbours, have right."""
    ends = np.cumsum([0, *(len(p.lesson.keys) for p in parts)])
    image = np.concatenate(
        [p.lesson.places.image + first for first, p in zip(ends, parts, strict=False)]
    )
    # In tiles of one size, whatever the pixel sizes of the images are.
    unit = parts[0].tile_px
    y, x = (
        np.concatenate([getattr(p.lesson.places, axis) * unit // p.tile_px for p in parts])
        for axis in ("y", "x")
    )
    plan = plan_folds(labels, names, groups=image, places=TilePlaces(image, y, x, unit))
    if not isinstance(plan, Folds):
        return None
    right = np.full(len(labels), np.nan)
    for fold in plan.folds:
        found = further_head(head, features[fold.train], labels[fold.train])
        said = found.logits(features[fold.test]).argmax(axis=1)
        right[fold.test] = said == labels[fold.test]
    return float(np.nanmean(right))
