"""What the user asks of a classification, as command line, forms, batch and cluster pass it on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.tiles.dense_blocks import dense_stride
from napari_sem_classify.core.tiles.grid import MIN_TILE_PX, TileGrid, stride_for_overlap

SAME_SCALE = 0.05
"""Pixel sizes and tile sizes that differ by less count as the same."""


@dataclass(frozen=True, slots=True)
class GridChoice:
    """A grid, and what the user should know about its scale.

    Attributes
    ----------
    grid : TileGrid
    note : str
        One phrase about the tile size and where it comes from.
    scale_warning : bool
        Whether the tiles show the specimen at another scale than the model saw, or nobody knows.
    """

    grid: TileGrid
    note: str
    scale_warning: bool


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """Which tiles to look at, in what way, and what computes it.

    Attributes
    ----------
    tile_px, tile_um : optional
        The tile in pixels of the image or in micrometres, not both. Without one, tiles have the
        physical size that the model learned from, or where either is not calibrated its size in
        pixels.
    stride_px : int, optional
        Distance between tiles; goes before `overlap`.
    overlap : float
        Share of a tile's side that neighbours have in common, 0 to below 1.
    dense : bool
        Run the network over large blocks instead of tiles, at a fine stride unless `stride_px` is
        given: an approximation, see `network.dense`. The record tells how far it agrees.
    skip_flat : bool
        Leave out tiles of hardly any contrast, see `TileChecks.flat`; the pixels are read once
        more for it.
    outlines : OutlineOptions or None
        Draw the classes' outlines too, see `outlines.outline`.
    device, backend : str
        As for `engine_for`.
    dtype : {"auto", "float32", "bfloat16", "float16", "int8"}
        Arithmetic of the network, see `engine_for_images`.
    cache : bool
        Look up and keep the features of tiles in the user's cache folder, so that another model's
        head needs no network run.
    """

    tile_px: int | None = None
    tile_um: float | None = None
    stride_px: int | None = None
    overlap: float = 0.0
    dense: bool = False
    skip_flat: bool = False
    outlines: OutlineOptions | None = None
    device: str = "auto"
    backend: str = "auto"
    dtype: str = "auto"
    cache: bool = True

    def grid_for(self, image: SemImage, card: ModelCard) -> GridChoice:
        """Lay a model's tiles over an image's specimen area.

        Raises
        ------
        GridError
            When the wishes contradict each other, do not fit, or the tile comes out too small.
        """
        tile = self.tile_px
        if self.tile_um is not None:
            if tile is not None:
                raise GridError("The tile size was given both in px and in µm: give one of them.")
            tile = TileGrid.from_um(image.area, self.tile_um, image.pixel_size_nm).tile
        if tile is None or (self.tile_um is None and _is_models_own(image, card, tile)):
            tile, note, warning = _same_physical_size(image, card)
        else:
            note, warning = _wished(image, card, tile)
        if tile > min(image.area.height, image.area.width):
            note += "; that is larger than the image, which is mirrored to fill a tile"
            warning = True
        if self.stride_px is not None:
            stride = self.stride_px
        elif self.dense:
            stride = dense_stride(tile, card.network_px)
        else:
            stride = stride_for_overlap(tile, self.overlap)
        return GridChoice(TileGrid(image.area, tile, stride), note, warning)

    @property
    def of_result(self) -> ClassifyOptions:
        """The same without what computes it: results of equal ones stand for one another."""
        return replace(self, device="auto", backend="auto", dtype="auto", cache=True)


@dataclass(frozen=True, slots=True)
class ChosenTiles:
    """Tiles that a person, a rule or a record chose, in place of those of the options.

    Attributes
    ----------
    grid : TileGrid
    keep : bool, shape ``grid.tile_shape``, optional
        False for tiles to leave out. Tiles without data are left out anyway.
    planes : tuple of planes, optional
        Indices along the leading axes of a stack; all of them where none are given.
    """

    grid: TileGrid
    keep: NDArray[np.bool_] | None = None
    planes: tuple[tuple[int, ...], ...] | None = None


def _same_physical_size(image: SemImage, card: ModelCard) -> tuple[int, str, bool]:
    tile = card.tile_px
    mine, learned = image.pixel_size_nm, card.pixel_size_nm
    if learned is None:
        return tile, f"this model has no pixel size: tiles will be {tile} px, as it learned", False
    if mine is None:
        note = (
            f"this image has no pixel size: tiles will be {tile} px, which is right only at about "
            f"the {learned:.4g} nm/px that this model saw"
        )
        return tile, note, True
    if _alike(mine, learned):
        return tile, f"tiles of {tile} px at {learned:.4g} nm/px, as this model learned", False
    tile = round(tile * learned / mine)
    if tile < MIN_TILE_PX:
        raise GridError(
            f"This model saw {learned:.4g} nm/px and {image.name} has {mine:.4g} nm/px, so a tile "
            f"would be only {tile} px: use a finer image, or set the tile size yourself."
        )
    note = (
        f"this model saw {learned:.4g} nm/px, this image has {mine:.4g} nm/px: "
        f"tiles will be {tile} px"
    )
    return tile, note, True


def _wished(image: SemImage, card: ModelCard, tile: int) -> tuple[str, bool]:
    mine, learned = image.pixel_size_nm, card.pixel_size_nm
    if mine is None or learned is None:
        if tile == card.tile_px:
            return f"tiles of {tile} px, as this model learned", False
        return f"tiles of {tile} px; this model learned from {card.tile_px} px", True
    here, there = tile * mine / 1000, card.tile_px * learned / 1000
    if _alike(here, there):
        return f"tiles of {tile} px show {here:.3g} µm, as this model learned", False
    return f"tiles of {tile} px show {here:.3g} µm; this model learned from {there:.3g} µm", True


def _is_models_own(image: SemImage, card: ModelCard, tile: int) -> bool:
    """Whether a tile in px is the one that would be laid without any wish."""
    mine, learned = image.pixel_size_nm, card.pixel_size_nm
    if mine is None or learned is None:
        return tile == card.tile_px
    return not _alike(mine, learned) and tile == round(card.tile_px * learned / mine)


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_SCALE * other
