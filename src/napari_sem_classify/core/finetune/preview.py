"""What the network will see: tiles as training changes them at random, at the training size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.evaluate.dataset import Listing, RowCrop
from napari_sem_classify.core.evaluate.set_reading import shrink, tile_grid
from napari_sem_classify.core.finetune.annotated_images import AnnotatedImages
from napari_sem_classify.core.finetune.finetune_presets import Augmentation
from napari_sem_classify.core.finetune.from_annotations import cut_tiles
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import (
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)

SHOWN_CLASSES = 4


def augmented_tiles(
    tiles: NDArray[np.uint8], size: int, augmentation: Augmentation, copies: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Change tiles at random as training does; the first of each row is the tile as it is.

    Parameters
    ----------
    tiles : uint8, shape (N, side, side)
    size : int
        Of the network's input in px.
    copies : int
        Pictures of each tile.

    Returns
    -------
    uint8, shape (N, copies, size, size)
        A crop keeps its size and has black around it.
    """
    import torch

    from napari_sem_classify.core.finetune.finetune_data import augment, resize

    grey = torch.from_numpy(np.array(tiles))[:, None].to(torch.float32).div_(255.0)
    generator = np.random.default_rng(seed)
    shown = np.zeros((len(tiles), copies, size, size), dtype=np.uint8)
    for copy in range(copies):
        seen = augment(grey.clone(), size, augmentation, generator) if copy else resize(grey, size)
        pictures = seen[:, 0].clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).numpy()
        side = pictures.shape[-1]
        start = (size - side) // 2
        shown[:, copy, start : start + side, start : start + side] = pictures
    return shown


def annotated_examples(
    tiles: AnnotatedImages, largest_px: int, seed: int = 0
) -> tuple[list[str], NDArray[np.uint8]]:
    """One tile of each of the first classes.

    Returns
    -------
    list of str
        The classes.
    uint8, shape (classes, side, side)
    """
    side = min(tiles.tile_px, largest_px)
    generator = np.random.default_rng(seed)
    names, found = [], []
    for name in tiles.class_names[:SHOWN_CLASSES]:
        source = next(each for each in tiles.images if name in each.marks.values())
        places = [at for at, mine in source.marks.items() if mine == name]
        for number in generator.permutation(len(places)):
            cut = next(cut_tiles(source.image, [places[number]], side, IntensityRecipe()), None)
            if cut is not None:
                names.append(name)
                found.append(cut[1])
                break
    return names, _stacked(found, side)


def listed_examples(
    listing: Listing,
    tile_px: int | None,
    crop: RowCrop | None,
    largest_px: int,
    check: Callable[[], None] | None = None,
) -> tuple[list[str], NDArray[np.uint8]]:
    """The middle tile of the first readable image of each of the first classes.

    Parameters
    ----------
    listing : Listing
    tile_px : int or None
        Side of a tile in image pixels; None for whole images.
    crop : RowCrop or None
    largest_px : int
    check : callable, optional
        Called before each image, to stop.
    """
    side = largest_px if tile_px is None else min(tile_px, largest_px)
    names, found = [], []
    for label, name in enumerate(listing.class_names[:SHOWN_CLASSES]):
        for record in listing.records:
            if record.label != label:
                continue
            if check is not None:
                check()
            tile = _middle_tile(record.path, tile_px, crop, side)
            if tile is not None:
                names.append(name)
                found.append(tile)
                break
    return names, _stacked(found, side)


def _middle_tile(
    path: Path, tile_px: int | None, crop: RowCrop | None, side: int
) -> NDArray[np.uint8] | None:
    from napari_sem_classify.core.sem_io import open_image

    try:
        image = open_image(path)
        if crop is not None:
            image = crop.apply(image)
        plane = (0,) * len(image.leading_shape)
        grid = tile_grid(image, tile_px)
        rows, cols = grid.tile_shape
        window = grid.window(rows // 2, cols // 2)
        area = image.area
        window = Area(
            window.top,
            min(window.bottom, area.bottom),
            window.left,
            min(window.right, area.right),
        )
        measured = measure_range(image, IntensityRecipe(), plane)
        grey = stretch_to_uint8(image.read(window, plane), measured)
    except SemClassifyError:
        return None  # what cannot be read is left out of the training too, and told there
    missing = [(0, max(0, grid.tile - length)) for length in grey.shape]
    return shrink(np.pad(grey, missing, mode="reflect"), side)


def _stacked(tiles: list[NDArray[np.uint8]], side: int) -> NDArray[np.uint8]:
    return np.stack(tiles) if tiles else np.empty((0, side, side), dtype=np.uint8)
