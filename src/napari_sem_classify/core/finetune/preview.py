"""What the network will see: tiles as training changes them at random, at the training size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.evaluate.dataset import Listing, RowCrop
from napari_sem_classify.core.evaluate.set_reading import open_cropped, tile_grid
from napari_sem_classify.core.finetune.annotated_images import AnnotatedImages
from napari_sem_classify.core.finetune.augmentation import Augmentation
from napari_sem_classify.core.finetune.from_annotations import cut_tiles

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

    from napari_sem_classify.core.finetune.finetune_views import augment
    from napari_sem_classify.core.network.engine.prepare import resize

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

    def tiles_of(name: str) -> Iterator[NDArray[np.uint8]]:
        source = next(each for each in tiles.images if name in each.marks.values())
        places = [at for at, mine in source.marks.items() if mine == name]
        for number in generator.permutation(len(places)):
            yield from (tile for _, tile in cut_tiles(source.image, [places[number]], side))

    return _one_of_each(tiles.class_names, tiles_of, side)


def listed_examples(
    listing: Listing,
    tile_px: int | None,
    crop: RowCrop | None,
    largest_px: int,
    check: Callable[[], None] | None = None,
) -> tuple[list[str], NDArray[np.uint8]]:
    """The middle tile of the first readable image of each of the first classes.

    `tile_px` is the side of a tile in image pixels, None for whole images; `check` is called before
    each image, to stop. Returns what `annotated_examples` does.
    """
    side = largest_px if tile_px is None else min(tile_px, largest_px)

    def tiles_of(name: str) -> Iterator[NDArray[np.uint8]]:
        for record in listing.records:
            if listing.class_names[record.label] == name:
                if check is not None:
                    check()
                yield from _middle_tile(record.path, tile_px, crop, side)

    return _one_of_each(listing.class_names, tiles_of, side)


def _middle_tile(
    path: Path, tile_px: int | None, crop: RowCrop | None, side: int
) -> Iterator[NDArray[np.uint8]]:
    with suppress(SemClassifyError):  # left out of the training too, and told there
        image = open_cropped(path, crop)
        grid = tile_grid(image, tile_px)
        rows, cols = grid.tile_shape
        window = grid.window(rows // 2, cols // 2)
        for _, tile in cut_tiles(image, [(window.top, window.left, grid.tile)], side):
            yield tile


def _one_of_each(
    names: Sequence[str], tiles_of: Callable[[str], Iterator[NDArray[np.uint8]]], side: int
) -> tuple[list[str], NDArray[np.uint8]]:
    """The first tile of each of the first classes that has one."""
    firsts = {name: next(tiles_of(name), None) for name in names[:SHOWN_CLASSES]}
    found = {name: tile for name, tile in firsts.items() if tile is not None}
    return list(found), np.array(list(found.values()), np.uint8).reshape(-1, side, side)
