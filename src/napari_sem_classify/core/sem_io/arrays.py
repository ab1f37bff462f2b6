"""Views of stored arrays that do their work when a region is read, never before.

Indexing follows what `SemImage.read` and viewers ask for: integers and slices, one per axis, with
trailing axes or an ellipsis left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.sem_image import ArrayLike

Convert = Callable[[NDArray[Any]], NDArray[Any]]


class Lazy:
    """What arrays offer beside their elements."""

    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=object))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)


class ArrayView(Lazy):
    """A stored array seen through a conversion of its values, with native byte order.

    Parameters
    ----------
    base : array-like
    convert : callable, optional
        Applied to the values read; must keep their shape.
    dtype : dtype, optional
        Type after the conversion; the stored one in native byte order when left out.
    """

    def __init__(self, base: ArrayLike, convert: Convert | None = None, dtype: Any = None) -> None:
        self._base = base
        self._convert = convert
        self.dtype: np.dtype[Any] = np.dtype(base.dtype if dtype is None else dtype).newbyteorder(
            "="
        )
        self.shape = tuple(int(n) for n in base.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        values = np.asarray(self._read(full_key(key, self.ndim)))
        if self._convert is not None:
            values = self._convert(values)
        return values.astype(self.dtype, copy=False)

    def _read(self, key: tuple[Any, ...]) -> Any:
        return self._base[key]


class FirstChannel(ArrayView):
    """The first of the channels on the last axis: grey stored as RGB, or with an alpha."""

    def __init__(self, base: ArrayLike) -> None:
        super().__init__(base)
        self.shape = self.shape[:-1]

    def _read(self, key: tuple[Any, ...]) -> Any:
        return self._base[(*key, 0)]


class ChannelsLast(ArrayView):
    """Colour planes stored one after the other, (..., C, Y, X), seen as (..., Y, X, C)."""

    def __init__(self, base: ArrayLike) -> None:
        super().__init__(base)
        *leading, channels, rows, cols = self.shape
        self.shape = (*leading, rows, cols, channels)

    def _read(self, key: tuple[Any, ...]) -> Any:
        *leading, rows, cols, channels = key
        planes = np.asarray(self._base[(*leading, slice(None), rows, cols)])
        spatial_left = sum(isinstance(part, slice) for part in (rows, cols))
        planes = np.moveaxis(planes, planes.ndim - 1 - spatial_left, -1)
        return planes[..., channels]


class Palette(ArrayView):
    """Indices into a colour table (N, 3), seen as (..., Y, X, 3)."""

    def __init__(self, base: ArrayLike, table: NDArray[Any]) -> None:
        super().__init__(base, dtype=table.dtype)
        self._table = table
        self.shape = (*self.shape, int(table.shape[1]))

    def _read(self, key: tuple[Any, ...]) -> Any:
        return self._table[np.asarray(self._base[key[:-1]])][..., key[-1]]


class Inks(ArrayView):
    """Amounts of cyan, magenta, yellow and black on the last axis, seen as red, green and blue."""

    def __init__(self, base: ArrayLike) -> None:
        super().__init__(base)
        self.shape = (*self.shape[:-1], 3)

    def _read(self, key: tuple[Any, ...]) -> Any:
        inks = np.asarray(self._base[(*key[:-1], slice(None))])
        full = np.iinfo(inks.dtype).max
        paper = (full - inks[..., :4]).astype(np.float64) / full
        colours = np.rint(paper[..., :3] * paper[..., 3:] * full).astype(inks.dtype)
        return colours[..., key[-1]]


class Stacked(Lazy):
    """Planes of one shape and type, opened one at a time, seen as one array.

    Parameters
    ----------
    openers : sequence of callables returning an array-like of shape `plane_shape`
        Called when a plane is read; the last plane opened is kept.
    leading : tuple of int
        Lengths of the axes before the planes'; their product is ``len(openers)``.
    plane_shape : tuple of int
    dtype : dtype
    """

    def __init__(
        self,
        openers: Sequence[Callable[[], ArrayLike]],
        leading: tuple[int, ...],
        plane_shape: tuple[int, ...],
        dtype: Any,
    ) -> None:
        self._openers = openers
        self._leading = leading
        self._last: tuple[int, ArrayLike] | None = None
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
        self.shape = (*leading, *plane_shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = full_key(key, self.ndim)
        n_leading = len(self._leading)
        numbers = np.arange(len(self._openers)).reshape(self._leading)[parts[:n_leading]]
        inside = parts[n_leading:]
        planes = [self._plane(int(number), inside) for number in np.ravel(numbers)]
        if not planes:
            sample = np.empty(self.shape[n_leading:], self.dtype)[inside]
            return np.empty((*np.shape(numbers), *sample.shape), self.dtype)
        return np.stack(planes).reshape((*np.shape(numbers), *planes[0].shape))

    def _plane(self, number: int, key: tuple[Any, ...]) -> NDArray[Any]:
        last = self._last
        if last is None or last[0] != number:
            last = (number, self._openers[number]())
            self._last = last
        return np.asarray(last[1][key]).astype(self.dtype, copy=False)


def full_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """One integer or slice per axis, with the ellipsis and missing trailing axes filled in.

    Raises
    ------
    IndexError
        When there are more indices than axes.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (ndim - len(parts) + 1)
    parts += [slice(None)] * (ndim - len(parts))
    if len(parts) != ndim:
        raise IndexError(f"{len(parts)} indices for {ndim} axes")
    return tuple(parts)
