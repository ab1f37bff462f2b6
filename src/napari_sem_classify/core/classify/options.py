"""What the user asks of a classification, as command line, forms, batch and cluster pass it on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.grid_choice import GridChoice, grid_for_model
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.tiles.grid import TileGrid


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """Which tiles to look at, in what way, and what computes it.

    Attributes
    ----------
    tile_px, tile_um, stride_px, overlap
        As in `grid_for_model`.
    dense : bool
        Run the network over large blocks instead of tiles, at a fine stride unless `stride_px` is
        given: an approximation, see `network.dense`. The record tells how far it agrees.
    skip_flat : bool
        Leave out tiles of hardly any contrast, see `TileChecks.flat`; the pixels are read once
        more for it.
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
    device: str = "auto"
    backend: str = "auto"
    dtype: str = "auto"
    cache: bool = True

    def grid_for(self, image: SemImage, card: ModelCard) -> GridChoice:
        """Lay the tiles over an image; raises as `grid_for_model`."""
        return grid_for_model(
            image, card, self.tile_px, self.tile_um, self.stride_px, self.overlap, self.dense
        )

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
