"""Which tiles to lay over an image: those of the model's physical size, unless asked otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
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


def grid_for_model(
    image: SemImage,
    card: ModelCard,
    tile_px: int | None = None,
    tile_um: float | None = None,
    stride_px: int | None = None,
    overlap: float = 0.0,
    dense: bool = False,
) -> GridChoice:
    """Lay a model's tiles over an image's specimen area.

    Parameters
    ----------
    image : SemImage
    card : ModelCard
    tile_px, tile_um : optional
        The user's wish in pixels of the image or in micrometres, not both. Without one, tiles have
        the physical size that the model learned from, or where either is not calibrated its size
        in pixels.
    stride_px : int, optional
        Distance between tiles; goes before `overlap`.
    overlap : float
        Share of a tile's side that neighbours have in common, 0 to below 1.
    dense : bool
        Without `stride_px`, take the fine stride that dense evaluation gives anyway.

    Raises
    ------
    GridError
        When the wishes contradict each other, do not fit, or the tile comes out too small.
    """
    if tile_px is not None and tile_um is not None:
        raise GridError("The tile size was given both in px and in µm: give one of them.")
    if tile_um is not None:
        tile = TileGrid.from_um(image.area, tile_um, image.pixel_size_nm).tile
        note, warning = _wished(image, card, tile)
    elif tile_px is not None:
        tile = tile_px
        note, warning = _wished(image, card, tile)
        if _is_models_own(image, card, tile):
            _, note, warning = _same_physical_size(image, card)
    else:
        tile, note, warning = _same_physical_size(image, card)
    if tile > min(image.area.height, image.area.width):
        note += "; that is larger than the image, which is mirrored to fill a tile"
        warning = True
    if stride_px is not None:
        stride = stride_px
    elif dense:
        stride = dense_stride(tile, card.network_px)
    else:
        stride = stride_for_overlap(tile, overlap)
    return GridChoice(TileGrid(image.area, tile, stride), note, warning)


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
            return (
                f"tiles of {tile} px, as this model learned",
                mine is None and learned is not None,
            )
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
