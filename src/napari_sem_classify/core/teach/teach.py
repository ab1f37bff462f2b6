"""Images with label images in, a model out: the head, its card and its honest score."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.annotate.annotation import (
    MIN_SHARE,
    TileLabels,
    check_teachable,
    tiles_from_mask,
)
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.sem_image import ArrayLike, SemImage
from napari_sem_classify.core.model.card import ClassInfo, ModelCard, default_colours
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.recipe import STANDARD, Recipe, RecipeChoice
from napari_sem_classify.core.teach.annotated_tiles import (
    AnnotatedTiles,
    embed_annotated,
    sample_tiles,
)
from napari_sem_classify.core.teach.head_fit import Taught, teach_head
from napari_sem_classify.core.teach.recipes import choose_recipe
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

STAGES = (2, 3, 4)
MAX_TILES_PER_CLASS = 2000
SAME_SCALE = 0.02


def teach_from_masks(
    pairs: Sequence[tuple[SemImage, ArrayLike]],
    classes: Sequence[tuple[int, str]],
    tile_px: int,
    *,
    stride: int | None = None,
    min_share: float = MIN_SHARE,
    contains: Mapping[int, float] | None = None,
    recipes: Sequence[Recipe] = (STANDARD,),
    engine: Engine | None = None,
    engine_of: Callable[[int], Engine] | None = None,
    groups: Sequence[str] | None = None,
    name: str = "Taught model",
    colours: Sequence[str] | None = None,
    max_tiles_per_class: int = MAX_TILES_PER_CLASS,
    seed: int = 0,
    dense: bool = False,
    job: Job | None = None,
) -> TileClassifier:
    """Teach a model from images and label images of the same size.

    Parameters
    ----------
    pairs : sequence of (SemImage, mask)
        Masks of integers, shape ``image.shape``. Of a stack the first plane is used.
    classes : sequence of (label value, class name)
        In the order of the model's classes; values not listed are unlabelled.
    tile_px : int
        Side of the tiles in image pixels.
    stride : int, optional
        `tile_px` where None.
    min_share, contains
        When a tile takes a class, see `tiles_from_mask`.
    recipes : sequence of Recipe
        How the network sees the tiles; of several the first is used unless another is clearly
        better by the blocked score.
    engine : Engine, optional
        For a single recipe, with an input of its size.
    engine_of : callable, optional
        Gives the engine for a network input; made where neither is given.
    groups : sequence of str, optional
        Specimen of each pair: images of one specimen are never on both sides of the score's split.
        Where None every image counts as a specimen of its own.
    name : str
        Of the model.
    colours : sequence of str, optional
        ``#rrggbb`` of each class.
    max_tiles_per_class : int
        Of a class with more tiles a random sample of so many is used.
    seed : int
    dense : bool
        Teach for dense maps: the network runs over blocks of the images, see `network.dense`. For
        recipes with the brightness of the image alone.
    job : Job, optional
        Told and checked once per batch.

    Returns
    -------
    TileClassifier
        Its card holds the score and the record.

    Raises
    ------
    AnnotationError
        When a mask does not fit its image or nothing can be learned.
    ImageError, ModelError, DeviceError
        When an image cannot be read or the network cannot be run.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_sha256

    start = time.perf_counter()
    class_names = tuple(class_name for _, class_name in classes)
    if colours is not None and len(colours) != len(class_names):
        raise AnnotationError(
            f"{len(class_names)} classes need as many colours, and {len(colours)} are given."
        )
    grids, found = _label_tiles(pairs, classes, tile_px, stride, min_share, contains)
    counts = np.sum([tiles.counts for tiles in found], axis=0)
    check_teachable(counts, class_names)
    annotated = [
        AnnotatedTiles(image, grid, tiles.labels)
        for (image, _), grid, tiles in zip(pairs, grids, found, strict=True)
    ]
    annotated = sample_tiles(annotated, max_tiles_per_class, seed)
    make = engine_of or _standard_engine
    choice = choose_recipe(
        annotated,
        class_names,
        recipes,
        make,
        groups=groups,
        seed=seed,
        job=job,
    )
    recipe = choice.recipe
    engine = engine or make(recipe.network_px)
    features, labels, places = embed_annotated(annotated, engine, recipe.intensity, job, dense)
    check_teachable(np.bincount(labels, minlength=len(class_names)), class_names)
    of_image = (
        np.arange(len(pairs)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    taught = teach_head(
        features,
        labels,
        class_names,
        groups=of_image[places.image],
        places=places,
        seed=seed,
        group_word="image" if groups is None else "specimen",
        job=job,
    )
    card = ModelCard(
        name=name,
        classes=tuple(
            ClassInfo(class_name, colour)
            for class_name, colour in zip(
                class_names, colours or default_colours(len(class_names)), strict=True
            )
        ),
        tile_px=tile_px,
        network_px=recipe.network_px,
        pixel_size_nm=_common_pixel_size([image for image, _ in pairs]),
        intensity=recipe.intensity,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=backbone_sha256(DEFAULT_BACKBONE),
        stages=STAGES,
        dense=dense,
        temperature=taught.temperature,
        scores=taught.scores_for_card(),
        record=_record(
            pairs,
            found,
            annotated,
            class_names,
            groups,
            engine,
            taught,
            time.perf_counter() - start,
            {
                "tile_px": tile_px,
                "stride_px": stride or tile_px,
                "min_share": min_share,
                "contains": {
                    class_name: dict(contains)[value]
                    for value, class_name in classes
                    if contains and value in contains
                },
                "max_tiles_per_class": max_tiles_per_class,
                "seed": seed,
                "dense": dense,
            },
            choice,
        ),
    )
    return TileClassifier(card, taught.head)


def _label_tiles(
    pairs: Sequence[tuple[SemImage, ArrayLike]],
    classes: Sequence[tuple[int, str]],
    tile_px: int,
    stride: int | None,
    min_share: float,
    contains: Mapping[int, float] | None,
) -> tuple[list[TileGrid], list[TileLabels]]:
    if not pairs:
        raise AnnotationError("No image with labels was given: give at least one pair.")
    grids, found = [], []
    for image, mask in pairs:
        if tuple(mask.shape) != image.shape:
            size = " × ".join(str(length) for length in mask.shape)
            raise AnnotationError(
                f"The labels of {image.name} have {size} px and the image has "
                f"{image.shape[0]} × {image.shape[1]} px: use labels of the image's own size."
            )
        grid = TileGrid(image.area, tile_px, stride or tile_px)
        grids.append(grid)
        found.append(
            tiles_from_mask(
                mask,
                grid,
                classes,
                min_share=min_share,
                contains=contains,
                name=f"The label image of {image.name}",
            )
        )
    return grids, found


def _common_pixel_size(images: Sequence[SemImage]) -> float | None:
    """Pixel size in nm where all images have one and agree within `SAME_SCALE`."""
    sizes = [image.pixel_size_nm for image in images]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or max(known) > (1 + SAME_SCALE) * min(known):
        return None
    return float(np.median(known))


def _record(
    pairs: Sequence[tuple[SemImage, ArrayLike]],
    found: Sequence[TileLabels],
    annotated: Sequence[AnnotatedTiles],
    class_names: tuple[str, ...],
    groups: Sequence[str] | None,
    engine: Engine,
    taught: Taught,
    seconds: float,
    settings: Mapping[str, Any],
    choice: RecipeChoice,
) -> dict[str, Any]:
    from napari_sem_classify.core.classify.record import run_record

    images = []
    for number, ((image, _), tiles, each) in enumerate(zip(pairs, found, annotated, strict=True)):
        used = each.counts(len(class_names))
        images.append(
            {
                "name": image.name,
                "specimen": None if groups is None else groups[number],
                "pixel_size_nm": image.pixel_size_nm,
                "tiles": dict(zip(class_names, used.tolist(), strict=True)),
                "mixed_tiles_left_out": tiles.n_mixed,
            }
        )
    record = run_record(job="teach", engine=engine, settings=settings, seconds=seconds)
    record |= {"images": images, "strength": taught.strength}
    return record | ({"recipe": choice.to_dict()} if choice.scores else {})


def _standard_engine(network_px: int) -> Engine:
    from napari_sem_classify.core.network.engine import make_engine

    return make_engine(network_px=network_px, stages=STAGES)
