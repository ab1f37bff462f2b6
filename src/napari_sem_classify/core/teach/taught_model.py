"""The model of a lesson: its head, and a card that tells where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.recipe import RecipeChoice
from napari_sem_classify.core.teach.head_fit import Taught
from napari_sem_classify.core.teach.lesson import Lesson, TeachingSet
from napari_sem_classify.core.teach.teach_options import STAGES, TeachOptions

SAME_SCALE = 0.02


def make_model(
    material: TeachingSet,
    lesson: Lesson,
    taught: Taught,
    options: TeachOptions,
    choice: RecipeChoice | None,
    seconds: float | None = None,
) -> TileClassifier:
    """Put a head and its card together.

    Parameters
    ----------
    material : TeachingSet
        What the lesson was gathered from, with the images that are told of on the card.
    choice : RecipeChoice or None
        How the way of looking was found, where that is to be told.
    """
    from napari_sem_classify.core.network.backbone import backbone_sha256

    card = ModelCard(
        name=options.name,
        classes=lesson.classes,
        tile_px=options.tile_px,
        network_px=lesson.recipe.network_px,
        pixel_size_nm=common_pixel_size(material.images.values()),
        intensity=lesson.recipe.intensity,
        backbone_id=lesson.recipe.backbone_id,
        backbone_sha256=backbone_sha256(lesson.recipe.backbone_id),
        stages=STAGES,
        dense=options.dense,
        temperature=taught.temperature,
        scores=taught.scores_for_card(),
        record=_record(material, lesson, taught, options, choice, seconds),
        surroundings=taught.surroundings,
        transfer=taught.transfer,
    )
    return TileClassifier(card.versioned(), taught.head, stages=taught.stages)


def common_pixel_size(images: Iterable[SemImage]) -> float | None:
    """Pixel size in nm where all images have one and agree within `SAME_SCALE`."""
    sizes = [image.pixel_size_nm for image in images]
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes) or max(known) > (1 + SAME_SCALE) * min(known):
        return None
    return float(np.median(known))


def _record(
    material: TeachingSet,
    lesson: Lesson,
    taught: Taught,
    options: TeachOptions,
    choice: RecipeChoice | None,
    seconds: float | None,
) -> dict[str, Any]:
    from napari_sem_classify.core.classify.record import run_record

    rules = material.annotations.rules
    copies = 0 if lesson.copies is None else len(lesson.copies.of)
    if taught.copies is not None and not taught.copies.used:
        copies = 0
    settings: dict[str, Any] = {
        "tile_px": options.tile_px,
        "stride_px": options.stride_px or options.tile_px,
        "min_share": options.min_share,
        "contains": {name: rules[name] for name in lesson.class_names if name in rules},
        "max_tiles_per_class": options.max_tiles_per_class,
        "seed": options.seed,
        "dense": options.dense,
        "turned_copies": copies,
    }
    if not material.mixed:  # painted: as models always told it
        settings["annotated_tiles"] = dict(
            zip(lesson.class_names, lesson.counts.tolist(), strict=True)
        )
        settings["images"] = [image.name for image in material.images.values()]
    record = run_record(job="teach", engine=lesson.engine, settings=settings, seconds=seconds)
    record |= {"images": images_told(material, lesson), "strength": taught.strength}
    if taught.choice is not None:
        record["surroundings"] = taught.choice.to_dict()
    if taught.copies is not None:
        record["copies"] = taught.copies.to_dict()
    return record if choice is None else record | {"recipe": choice.to_dict()}


def images_told(material: TeachingSet, lesson: Lesson) -> list[dict[str, Any]]:
    """A row for each image that taught, as the record of a card tells of it."""
    names, labels = lesson.class_names, lesson.labels.tolist()
    rows = []
    for each in material.annotations.images:
        mixed = material.mixed.get(each.fingerprint)
        found = Counter(mark.class_name for mark in each.marks.values())
        if mixed is None:  # painted: of any size, and perhaps while the image was closed
            taught = zip(lesson.tiles, labels, strict=True)
            found = Counter(names[number] for (key, _), number in taught if key == each.key)
            if not found:
                continue
        image = material.images.get(each.fingerprint)
        row: dict[str, Any] = {
            "name": each.name,
            "fingerprint": each.fingerprint.rstrip("'"),
            "specimen": each.specimen,
            "pixel_size_nm": None if image is None else image.pixel_size_nm,
            "tiles": {name: found[name] for name in names},
        }
        rows.append(row if mixed is None else row | {"mixed_tiles_left_out": mixed})
    return rows
