"""Images with label images in, a model out: the head, its card and its honest score."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.errors import AnnotationError
from napari_sem_classify.core.image import ArrayLike, SemImage
from napari_sem_classify.core.intensity import IntensityRecipe
from napari_sem_classify.core.model.card import ClassInfo, ModelCard, default_colours
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.progress import CancelToken, Progress, ProgressCallback
from napari_sem_classify.core.teaching.annotation import (
    MIN_SHARE,
    UNLABELLED,
    TileLabels,
    check_teachable,
    tiles_from_mask,
)
from napari_sem_classify.core.teaching.folds import TilePlaces
from napari_sem_classify.core.teaching.head_fit import Taught, teach_head
from napari_sem_classify.core.tiles import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.engine.base import Engine

NETWORK_PX = 128
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
    network_px: int = NETWORK_PX,
    intensity: IntensityRecipe | None = None,
    engine: Engine | None = None,
    groups: Sequence[str] | None = None,
    name: str = "Taught model",
    colours: Sequence[str] | None = None,
    max_tiles_per_class: int = MAX_TILES_PER_CLASS,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
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
    network_px : int
        Side to which tiles are resized for the network.
    intensity : IntensityRecipe, optional
        The standard recipe where None.
    engine : Engine, optional
        Must have an input of `network_px`; made where None.
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
    progress, cancel : optional
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
        When `cancel` was set.
    """
    from napari_sem_classify.core.model.backbone import DEFAULT_BACKBONE, backbone_sha256

    start = time.perf_counter()
    class_names = tuple(class_name for _, class_name in classes)
    if colours is not None and len(colours) != len(class_names):
        raise AnnotationError(
            f"{len(class_names)} classes need as many colours, and {len(colours)} are given."
        )
    recipe = intensity or IntensityRecipe()
    grids, found = _label_tiles(pairs, classes, tile_px, stride, min_share, contains)
    counts = np.sum([tiles.counts for tiles in found], axis=0)
    check_teachable(counts, class_names)
    chosen = _sample(found, counts, max_tiles_per_class, seed)
    if engine is None:
        from napari_sem_classify.core.engine import make_engine

        engine = make_engine(network_px=network_px, stages=STAGES)
    features, labels, places = _embed(pairs, grids, found, chosen, engine, recipe, progress, cancel)
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
        progress=progress,
        cancel=cancel,
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
        network_px=network_px,
        pixel_size_nm=_common_pixel_size([image for image, _ in pairs]),
        intensity=recipe,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=backbone_sha256(DEFAULT_BACKBONE),
        stages=STAGES,
        temperature=taught.temperature,
        scores=taught.scores_for_card(),
        record=_record(
            pairs,
            found,
            chosen,
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
            },
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


def _sample(
    found: Sequence[TileLabels], counts: NDArray[Any], most: int, seed: int
) -> list[NDArray[np.bool_]]:
    """Which tiles of each image to use: all, or a random sample of a class that has too many."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([tiles.labels.ravel() for tiles in found])
    use = labels != UNLABELLED
    for index in np.flatnonzero(counts > most):
        mine = np.flatnonzero(labels == index)
        use[mine] = False
        use[generator.choice(mine, most, replace=False)] = True
    ends = np.cumsum([tiles.labels.size for tiles in found])[:-1]
    return [
        part.reshape(tiles.labels.shape)
        for part, tiles in zip(np.split(use, ends), found, strict=True)
    ]


def _embed(
    pairs: Sequence[tuple[SemImage, ArrayLike]],
    grids: Sequence[TileGrid],
    found: Sequence[TileLabels],
    chosen: Sequence[NDArray[np.bool_]],
    engine: Engine,
    recipe: IntensityRecipe,
    progress: ProgressCallback | None,
    cancel: CancelToken | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64], TilePlaces]:
    """Features, classes and places of the chosen tiles; tiles without data are dropped."""
    from napari_sem_classify.core.classify import embed_image

    total = sum(int(keep.sum()) for keep in chosen)
    start = time.perf_counter()
    features, labels, images, ys, xs = [], [], [], [], []
    done = 0
    for number, ((image, _), grid, tiles, keep) in enumerate(
        zip(pairs, grids, found, chosen, strict=True)
    ):
        if not keep.any():
            continue
        first = (0,) * len(image.leading_shape)
        before = done

        def tell(reading: Progress, before: int = before) -> None:
            if progress is not None:
                elapsed = time.perf_counter() - start
                progress(
                    replace(reading, done=before + reading.done, total=total, elapsed_s=elapsed)
                )

        mine = embed_image(
            image, grid, engine, recipe, keep=keep, plane=first, progress=tell, cancel=cancel
        )
        done += int(keep.sum())
        rows, cols = np.nonzero(keep)
        has_data = ~np.isnan(mine).any(axis=1)
        features.append(mine[has_data])
        labels.append(tiles.labels[keep][has_data])
        images.append(np.full(int(has_data.sum()), number, dtype=np.int64))
        ys.append(grid.row_starts()[rows][has_data])
        xs.append(grid.col_starts()[cols][has_data])
    places = TilePlaces(
        np.concatenate(images), np.concatenate(ys), np.concatenate(xs), grids[0].tile
    )
    return np.concatenate(features), np.concatenate(labels), places


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
    chosen: Sequence[NDArray[np.bool_]],
    class_names: tuple[str, ...],
    groups: Sequence[str] | None,
    engine: Engine,
    taught: Taught,
    seconds: float,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    from napari_sem_classify.core.record import run_record

    images = []
    for number, ((image, _), tiles, keep) in enumerate(zip(pairs, found, chosen, strict=True)):
        used = np.bincount(tiles.labels[keep], minlength=len(class_names))
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
    return {**record, "images": images, "strength": taught.strength}
