"""The tiles of one plane of an image: what is looked at, in one object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.evened import evened_plane
from napari_sem_classify.core.image.intensity import (
    EVENED,
    IntensityRange,
    IntensityRecipe,
    measure_range,
)
from napari_sem_classify.core.image.sem_image import SemImage, hold_plane
from napari_sem_classify.core.tiles.grid import TileGrid


@dataclass(frozen=True, slots=True)
class PlaneTiles:
    """Tiles of one plane.

    Attributes
    ----------
    keep : bool, shape ``grid.tile_shape``, optional
        False for tiles to leave out. Tiles without data are left out anyway.
    plane : tuple of int
        Index along the leading axes of a stack.
    held : SemImage, optional
        The plane as it is read, see `seen_by` and `in_memory`.
    """

    image: SemImage
    grid: TileGrid
    keep: NDArray[np.bool_] | None = None
    plane: tuple[int, ...] = ()
    held: SemImage | None = None

    @property
    def count(self) -> int:
        """Number of tiles that are kept, empty ones included."""
        return self.grid.n_tiles if self.keep is None else int(np.count_nonzero(self.keep))

    @property
    def source(self) -> tuple[SemImage, tuple[int, ...]]:
        """Where to read the pixels: an image and the plane of it."""
        return (self.image, self.plane) if self.held is None else (self.held, ())

    def seen_by(self, recipe: IntensityRecipe) -> PlaneTiles:
        """The same, with the frames of a mosaic evened out where the recipe says so."""
        shown, _ = evened_plane(self.image, recipe, self.plane)
        return self if shown is self.image else replace(self, held=shown)

    @property
    def evened_over(self) -> dict[str, Any]:
        """What of its recipe evens out the plane in parts; {} where it is seen as a whole."""
        return dict(self.source[0].metadata.get(EVENED, {}))

    def in_memory(self) -> PlaneTiles:
        """The same, with the plane read once where that is worth it; raises as `hold_plane`."""
        held = hold_plane(*self.source)
        return self if held is None else replace(self, held=held)

    def measure(self, recipe: IntensityRecipe) -> IntensityRange:
        """Measure the range of the plane, as `seen_by` the recipe."""
        return measure_range(self.source[0], recipe, self.source[1])

    def reporter(self, stage: str, job: Job | None) -> Reporter:
        """Count the kept tiles; raises `Cancelled` where the wish came before the start."""
        if self.keep is not None and self.keep.shape != self.grid.tile_shape:
            raise ValueError(f"keep has shape {self.keep.shape}, not {self.grid.tile_shape}")
        reporter = Reporter(self.count, stage, job)
        reporter.check()
        return reporter

    def none_left(self) -> ImageError:
        """Word the problem of an image without a tile to look at."""
        return ImageError(
            f"{self.image.name} has no tile left to classify: its tiles hold no data or were all "
            "left out."
        )
