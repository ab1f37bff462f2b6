"""Strips and tiles of a TIFF: those that a region touches are decoded by all cores into it."""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.sem_io.arrays import Lazy, full_key
from napari_sem_classify.core.sem_io.tiff_decode import JPEG, guard
from napari_sem_classify.core.sem_io.tiff_opening import opened_tiff

# Starting the threads takes as long as decoding about this much.
ALONE_BYTES = 2**18
PARTS_A_WORKER = 4


class TiffChunks(Lazy):
    """A series of a TIFF of which only the strips or tiles that are asked for are decoded.

    tifffile decodes each, within the bounds of `tiff_decode.guard`. (Its own zarr store does the
    same with zarr between, which takes longer than decoding where tiles are small.)

    Parameters
    ----------
    path : Path
        A file that was looked at by `opened_tiff` before.
    series, level : int
        Which image of the file, and which of its resolutions.
    """

    def __init__(self, path: Path, series: int, level: int) -> None:
        import tifffile

        tiff = opened_tiff(path, checked=True)
        try:
            self._path = path
            self._series = tiff.series[series].levels[level]
            page = self._series.keyframe
            self.shape = tuple(int(n) for n in self._series.shape)
            self.dtype: np.dtype[Any] = np.dtype(self._series.dtype).newbyteorder("=")
            self._chunked = tuple(int(n) for n in page.chunked)
            stored = tuple(int(n) for n in page.chunks)
            # Planes of colour and slices of a volume may be stored one by one.
            self._chunk = (1,) * (len(self._chunked) - len(stored)) + stored
            self._leading = self.shape[: len(self.shape) - len(page.shape)]
            plane = self.shape[len(self._leading) :]
            if plane != tuple(page.shape) or len(plane) != len(self._chunk):
                raise ValueError(f"pieces of {stored} px of {page.shape} in {self.shape}")
            guard(path, page)
            self._lock = threading.RLock()
            # Planes may lie in several files.
            self._files = tifffile.FileCache(lock=self._lock)
        except BaseException:
            tiff.close()
            raise
        weakref.finalize(self, _close, self._files, tiff)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = full_key(key, self.ndim)
        wanted = [_indices(part, n) for part, n in zip(parts, self.shape, strict=True)]
        out = np.empty(tuple(len(some) for some in wanted), self.dtype)
        if out.size:
            self._fill(out, wanted)
        # Single indices have no axis.
        return out[tuple(slice(None) if isinstance(part, slice) else 0 for part in parts)]

    def _fill(self, out: NDArray[Any], wanted: Sequence[range]) -> None:
        pieces = list(self._pieces(out, wanted))
        nbytes = len(pieces) * math.prod(self._chunk) * self.dtype.itemsize
        workers = min(os.cpu_count() or 1, len(pieces))
        if workers == 1 or nbytes <= ALONE_BYTES:
            self._place(pieces)
            return
        size = max(1, -(-len(pieces) // (workers * PARTS_A_WORKER)))
        parts = [pieces[start : start + size] for start in range(0, len(pieces), size)]
        with ThreadPoolExecutor(workers, thread_name_prefix="sem-classify-tiff") as pool:
            for _ in pool.map(self._place, parts):
                pass

    def _pieces(self, out: NDArray[Any], wanted: Sequence[range]) -> Iterator[_Piece]:
        """The strips or tiles that hold what is wanted, and where it goes."""
        n_leading = len(self._leading)
        spans = [
            _spans(some, length)
            for some, length in zip(wanted[n_leading:], self._chunk, strict=True)
        ]
        numbers = np.arange(math.prod(self._leading)).reshape(self._leading)
        for place in itertools.product(*(range(len(some)) for some in wanted[:n_leading])):
            at = tuple(some[i] for some, i in zip(wanted, place, strict=False))
            page, begin = self._page(int(numbers[at]))
            plane = out[place]
            for some in itertools.product(*spans):
                number = 0
                for span, count in zip(some, self._chunked, strict=True):
                    number = number * count + span.chunk
                target = plane[tuple(span.out for span in some)]
                yield _Piece(page, begin, number, tuple(span.inside for span in some), target)

    def _page(self, number: int) -> tuple[Any, int]:
        """The page of a plane, and by how much the plane lies behind what the page says."""
        if self._series.dataoffset is not None:  # one directory for planes that lie in a row
            page = self._series[0]
            return page, 0 if page is None else number * page.size * page.dtype.itemsize
        with self._lock:
            page = self._series[number]
            if page is not None:
                guard(self._path, page.keyframe)
        return page, 0

    def _place(self, pieces: Sequence[_Piece]) -> None:
        for piece in pieces:
            decoded = self._decoded(piece)
            piece.target[...] = self._nothing() if decoded is None else decoded[piece.inside]

    def _decoded(self, piece: _Piece) -> NDArray[Any] | None:
        """All of a strip or tile; None where the file leaves it out."""
        page = piece.page
        if page is None or page.keyframe is None or piece.number >= len(page.dataoffsets):
            return None
        offset, count = page.dataoffsets[piece.number], page.databytecounts[piece.number]
        if not offset or not count:
            return None
        data = self._files.read(page.parent.filehandle, offset + piece.begin, count)
        keyframe = page.keyframe
        tables: dict[str, Any] = {}
        if int(keyframe.compression) in JPEG:
            tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        pixels: NDArray[Any] = keyframe.decode(data, piece.number, _fullsize=True, **tables)[0]
        if self._series.transform is not None:
            pixels = self._series.transform(pixels)
        return pixels.reshape(self._chunk)

    def _nothing(self) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(self._series.keyframe.nodata).astype(self.dtype)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A strip or tile, what of it is wanted, and the pixels that it becomes."""

    page: Any
    begin: int
    number: int
    inside: tuple[slice, ...]
    target: NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Span:
    """Which of the indices that are wanted along an axis lie in one strip or tile."""

    chunk: int
    inside: slice
    out: slice


def _indices(part: Any, length: int) -> range:
    """What an integer or slice means along an axis.

    Raises
    ------
    IndexError
        When it is outside.
    """
    if isinstance(part, slice):
        return range(length)[part]
    at = range(length)[part]
    return range(at, at + 1)


def _spans(wanted: range, length: int) -> list[_Span]:
    if wanted.step < 0:
        backwards = _spans(wanted[::-1], length)
        last = len(wanted) - 1
        return [_Span(span.chunk, span.inside, _turned(span.out, last)) for span in backwards]
    spans = []
    for chunk in range(wanted[0] // length, wanted[-1] // length + 1):
        low = chunk * length
        first, end = (
            min(len(wanted), max(0, -(-(edge - wanted.start) // wanted.step)))
            for edge in (low, low + length)
        )
        if first < end:
            begin = wanted[first] - low
            inside = slice(begin, wanted[end - 1] - low + 1, wanted.step)
            spans.append(_Span(chunk, inside, slice(first, end)))
    return spans


def _turned(out: slice, last: int) -> slice:
    first, end = last - out.start, last - out.stop
    return slice(first, None if end < 0 else end, -1)


def _close(files: Any, tiff: Any) -> None:
    files.clear()
    tiff.close()
