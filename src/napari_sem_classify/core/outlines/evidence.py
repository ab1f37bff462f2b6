"""What is known of an image's classes, gathered from its map and its pixels.

A bounded number of tiles teaches the pixels, in patches spread over the image, so that the time
does not grow with the image. Whether pixels tell anything, and how far probabilities may flow
along the image's edges, is judged by what the outlines say of tiles that were left out of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.head import softmax
from napari_sem_classify.core.outlines.lattice import Lattice, cell_centres, interpolated
from napari_sem_classify.core.outlines.looks import halo_of, looks
from napari_sem_classify.core.outlines.pixel_fit import LEAST_GAIN, Bags, Evidence, evidence_of

PATCH_TILES = 8
MOST_PATCHES = 16
MOST_BAGS = 1024
LEAST_BAGS = 16
SMALLEST = 1e-3
_THIN_OUT = 4
"""Every so many squares of a tile teach, along both sides."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One plane of an image with its map, and the lattice over it.

    `plane` is where in `image` the pixels are. `unsaid` are the cells that teach no pixels,
    since something else than the map's classes lies in theirs. `hers` are the class numbers of
    squares that the user painted, 0 elsewhere.
    """

    image: SemImage
    plane: tuple[int, ...]
    class_map: ClassMap
    lattice: Lattice
    intensity: IntensityRange
    unsaid: NDArray[np.bool_] | None = None
    hers: NDArray[np.uint16] | None = None

    def log_map(self, block: Area) -> NDArray[np.float32]:
        """Logarithm of the map's probabilities at a block's squares, NaN where left out."""
        px = self.lattice.px
        rows = (np.arange(block.top, block.bottom) + 0.5) * px
        cols = (np.arange(block.left, block.right) + 0.5) * px
        found = interpolated(self.class_map.probabilities, cell_centres(self.class_map), rows, cols)
        return np.asarray(np.log(found + np.float32(SMALLEST)))

    def grey(self, block: Area, halo: int) -> tuple[NDArray[Any], NDArray[Any], Area]:
        """As `Lattice.read`."""
        return self.lattice.read(self.image, self.plane, block, halo, self.intensity)

    def looks(self, block: Area) -> NDArray[np.float32]:
        """Looks of a block's squares, float32 of shape (rows, cols, looks)."""
        grey, square, got = self.grey(block, halo_of(self.lattice))
        return inner(looks(grey, square, self.lattice), block, got)


def inner(values: NDArray[Any], block: Area, got: Area) -> NDArray[Any]:
    """The part of what was made of `got` that belongs to `block`."""
    top, left = block.top - got.top, block.left - got.left
    return values[top : top + block.height, left : left + block.width]


def look_at_pixels(scene: Scene, reporter: Reporter) -> Evidence | None:
    """Let the map teach the pixels; None where there are too few tiles or pixels tell nothing."""
    parts = []
    for patch in patches_of(scene.lattice):
        found = _bags(scene, patch)
        if found is not None:
            parts.append(found)
        reporter.check()
    if not parts:
        return None
    bags = Bags(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    if len(bags.wanted) > MOST_BAGS:
        some = np.linspace(0, len(bags.wanted) - 1, MOST_BAGS).astype(np.int64)
        bags = Bags(*(getattr(bags, name)[some] for name in Bags.__slots__))
    if len(bags.wanted) < LEAST_BAGS:
        return None
    evidence = evidence_of(bags)
    return evidence if evidence.gain > LEAST_GAIN else None


def patches_of(lattice: Lattice) -> list[Area]:
    """Patches of tiles, evenly over the area, in squares."""
    side = PATCH_TILES * lattice.tile // lattice.px
    rows, cols = lattice.shape
    every = [
        Area(top, min(top + side, rows), left, min(left + side, cols))
        for top in range(0, rows, side)
        for left in range(0, cols, side)
    ]
    chosen = np.linspace(0, len(every) - 1, min(MOST_PATCHES, len(every))).astype(int)
    return [every[number] for number in chosen]


@dataclass(frozen=True, slots=True)
class BagPlaces:
    """Tiles inside a patch: first squares within it, side, map cells and their probabilities."""

    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    side: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    known: NDArray[np.float32]


def bag_places(scene: Scene, patch: Area) -> BagPlaces | None:
    """The map's cells whose tiles lie in a patch and do not overlap.

    Without those left out and those that teach no pixels.
    """
    lattice, apart = scene.lattice, _apart(scene.class_map)
    side = min(lattice.tile // lattice.px, patch.height, patch.width)
    down, along = (centres[::apart] for centres in cell_centres(scene.class_map))
    tops = _starts(down, lattice.shape[0], side, lattice)
    lefts = _starts(along, lattice.shape[1], side, lattice)
    rows = np.flatnonzero((tops >= patch.top) & (tops + side <= patch.bottom))
    cols = np.flatnonzero((lefts >= patch.left) & (lefts + side <= patch.right))
    known = scene.class_map.probabilities[::apart, ::apart]
    r, c = (each.ravel() for each in np.meshgrid(rows, cols, indexing="ij"))
    good = ~np.isnan(known[r, c, 0])
    if scene.unsaid is not None:
        good &= ~scene.unsaid[::apart, ::apart][r, c]
    r, c = r[good], c[good]
    if not len(r):
        return None
    return BagPlaces(tops[r] - patch.top, lefts[c] - patch.left, side, r, c, known[r, c])


def _apart(class_map: ClassMap) -> int:
    """Cells from one tile to the next that does not overlap it."""
    return max(1, round(class_map.grid.tile / class_map.grid.stride))


def _bags(scene: Scene, patch: Area) -> tuple[NDArray[Any], ...] | None:
    """Of the tiles in a patch: looks of some pixels, probabilities, those around, fold."""
    places = bag_places(scene, patch)
    if places is None:
        return None
    seen = scene.looks(patch)
    window = (places.side, places.side)
    windows = np.lib.stride_tricks.sliding_window_view(seen, window, axis=(0, 1))
    picked = windows[places.tops, places.lefts]
    picked = picked[..., _THIN_OUT // 2 :: _THIN_OUT, _THIN_OUT // 2 :: _THIN_OUT]
    r, c = places.rows, places.cols
    tiles = np.moveaxis(picked, 1, -1).reshape(len(r), -1, seen.shape[-1])
    apart = _apart(scene.class_map)
    beside = around(scene.class_map.probabilities[::apart, ::apart])
    return tiles, places.known, beside[r, c], (r + c) % 2


def _starts(
    centres: NDArray[np.float64], length: int, side: int, lattice: Lattice
) -> NDArray[np.int64]:
    """First square of the tile around each centre, inside the area."""
    first = np.rint(centres / lattice.px - side / 2).astype(np.int64)
    return np.clip(first, 0, max(0, length - side))


def around(known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the four neighbours of each cell, of those that are there."""
    padded = np.pad(known, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    there = sum((~np.isnan(each)).astype(np.float32) for each in beside)
    total = sum(np.nan_to_num(each) for each in beside)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / there, dtype=np.float32)


def squares_say(scene: Scene, evidence: Evidence | None, block: Area) -> NDArray[np.float32]:
    """Probabilities of a block's squares before edges count, NaN where left out."""
    log_map = scene.log_map(block)
    if evidence is None:
        return softmax(log_map)
    return softmax(evidence.classifier.logits(scene.looks(block)) + evidence.map_weight * log_map)
