"""What a model says of the tiles of a huge image in one zarr, written block by block.

A block that is not done yet has no chunk in the zarr, so a run that was stopped knows what is
lacking. The zarr has a hidden name, which nobody else's can have, until all of it is there.
While it has, it holds `PlaneScores.raw`; what is left in the end are the tiles' probabilities.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import OutputError, cannot_write
from napari_sem_classify.core.common.temporaries import MARK
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.tiles.grid import TileGrid

NOT_DONE = float("-inf")
STORE_ENDING = ".probabilities.zarr"
"""Of the finished zarr's name, after the image's."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some neighbouring tiles of one plane: rows and columns of tiles, ends excluded."""

    plane: tuple[int, ...]
    top: int
    bottom: int
    left: int
    right: int

    @property
    def place(self) -> tuple[int | slice, ...]:
        """Where the block lies in an array of (plane..., tile rows, tile columns)."""
        return (*self.plane, slice(self.top, self.bottom), slice(self.left, self.right))

    def grid(self, whole: TileGrid) -> TileGrid:
        """The block's tiles as a grid of their own, each where it lies in the whole grid."""
        rows = whole.row_starts()[self.top : self.bottom]
        cols = whole.col_starts()[self.left : self.right]
        area = Area(
            int(rows[0]),
            min(int(rows[-1]) + whole.tile, whole.area.bottom),
            int(cols[0]),
            min(int(cols[-1]) + whole.tile, whole.area.right),
        )
        return TileGrid(area, whole.tile, whole.stride)


def blocks_of(grid: TileGrid, side: int, plane: tuple[int, ...] = ()) -> Iterator[Block]:
    """Cut the tiles of a plane into blocks of at most `side` × `side` tiles, row by row."""
    rows, cols = grid.tile_shape
    for top in range(0, rows, side):
        for left in range(0, cols, side):
            yield Block(plane, top, min(rows, top + side), left, min(cols, left + side))


class TileStore:
    """A zarr of float32 (plane..., tile rows, tile columns, numbers); NaN for tiles left out.

    Parameters
    ----------
    folder : Path
        Where the zarr lies.
    stem : str
        What tells it from that of another image.
    shape : tuple of int
        Planes, tile rows, tile columns, numbers of a tile.
    side : int
        Side of a block in tiles; a block is a chunk.
    facts : mapping
        What the probabilities depend on, as plain JSON values.
    resume : bool
        Keep the blocks of an earlier run with the same facts.

    Raises
    ------
    OutputError
        From every method that writes, when it cannot.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        shape: tuple[int, ...],
        side: int,
        facts: Mapping[str, Any],
        resume: bool = True,
    ) -> None:
        name = hashlib.sha256(stem.encode(errors="surrogatepass")).hexdigest()[:16]
        self._hidden = folder / f"{MARK}blocks-{name}.zarr"
        self._side = side
        self._array: Any = self._of_earlier_run(shape, facts) if resume else None
        if self._array is None:
            self._array = self._new(self._hidden, shape, facts)

    def begin_anew(self) -> None:
        """Forget the blocks of an earlier run."""
        self._array = self._new(self._hidden, self._array.shape, self._array.attrs["run"])

    def note(self, **notes: Any) -> None:
        """Keep with the blocks how they were made, as plain JSON values."""
        with self._writing():
            self._array.attrs.update({"made": {**self.notes, **notes}})

    @property
    def notes(self) -> dict[str, Any]:
        """What was noted of the blocks, also by an earlier run."""
        found = self._array.attrs.get("made")
        return dict(found) if isinstance(found, dict) else {}

    def _of_earlier_run(self, shape: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        import zarr

        with suppress(Exception):  # zarr raises what its JSON, codecs and the file system raise
            array = zarr.open_array(str(self._hidden), mode="r+")
            if array.shape == shape and array.attrs["run"] == dict(facts):
                return array
        return None

    def _new(self, path: Path, shape: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        import zarr

        chunks = (*(1 for _ in shape[:-3]), self._side, self._side, shape[-1])
        with self._writing():
            shutil.rmtree(path, ignore_errors=True)
            return zarr.create_array(
                str(path),
                shape=shape,
                chunks=chunks,
                dtype="float32",
                fill_value=NOT_DONE,
                attributes={"run": dict(facts)},
            )

    def has(self, block: Block) -> bool:
        """Whether an earlier run wrote the block."""
        with suppress(Exception):  # a chunk that was cut short is as good as none
            return not bool((self._array[block.place] == NOT_DONE).any())
        return False

    def write(self, block: Block, found: NDArray[np.float32]) -> None:
        """Write a block, shape (tile rows, tile columns, numbers)."""
        with self._writing():
            self._array[block.place] = found

    def read(self, plane: tuple[int, ...]) -> NDArray[np.float32]:
        """All tiles of a plane, shape (tile rows, tile columns, numbers)."""
        tiles: NDArray[np.float32] = np.asarray(self._array[plane])
        return tiles

    def finish(
        self,
        path: Path,
        planes: Iterable[tuple[tuple[int, ...], NDArray[np.float32]]],
        attributes: Mapping[str, Any],
    ) -> None:
        """Write the finished zarr.

        Parameters
        ----------
        planes : iterable of (plane, float32 of shape (tile rows, tile columns, classes))
            The tiles' probabilities.
        attributes : mapping
            What the zarr says besides; its ``classes`` are the classes.
        """
        shape = (*self._array.shape[:-1], len(attributes["classes"]))
        array = self._new(path, shape, self._array.attrs["run"])
        with self._writing():
            for plane, probabilities in planes:
                array[plane] = probabilities
            array.attrs.update(dict(attributes))

    def forget(self) -> None:
        """Delete the blocks, once what was made of them is in its place."""
        shutil.rmtree(self._hidden, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(cannot_write(self._hidden, error)) from error
