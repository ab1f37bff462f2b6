"""Which images show the same place: exact copies, and frames that overlap.

A model that saw a place in training recognises it later; a score on it measures memory. Frames of a
scanned strip share most of their area without a single equal file, so copies are looked for by
shift: the normalised cross-correlation of two small pictures over all shifts at which enough of
them overlaps (Padfield 2012, doi:10.1109/TIP.2011.2181402).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Reporter

if TYPE_CHECKING:
    from torch import Tensor

THUMBNAIL_PX = 48
LEAST_OVERLAP = 0.3
"""Share of a picture that has to lie in the other for the pair to be compared at that shift."""

SAME_PLACE = 0.4
"""Correlation from which two pictures count as overlapping.

On the cathode strips of known frame positions, pairs that overlap by 30 % or more reach .48 or
more and pairs of different specimens .30 or less (9,453 pairs).
"""

LEAST_SURE = 6.0
"""How many standard errors of chance (Fisher's z) a correlation has to stand above none.

In pictures of a few large grains chance alone correlates well. Pairs of different cathode specimens
reach 5.6 at most. Of pairs of frames that overlap by 40 to 60 %, 99 of 100 reach 6.4 or more; a few
true pairs of other overlaps stay below 6.
"""

COMPARE_ALL = 100
_BLUR_PX = 6.0
_BATCH = 512
_NEIGHBOURS = 12
_NEXT_FILES = 4


def near_duplicates(thumbnails: NDArray[np.uint8], *, job: Job | None = None) -> NDArray[np.int64]:
    """Pairs of images that show the same place, also shifted against each other.

    Up to `COMPARE_ALL` images every pair is compared. Of more images those are compared that look
    alike unshifted, whose spectra are neighbours, or whose files follow one another.

    Parameters
    ----------
    thumbnails : uint8, shape (N, side, side)
        Small pictures of the images, in the order of their files.

    Returns
    -------
    int64, shape (pairs, 2)
        First number below second.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    import torch

    count, side = len(thumbnails), int(thumbnails.shape[1])
    flat = _flattened(thumbnails)
    first, second = _candidates(flat)
    reporter = Reporter(len(first), "Looking for duplicates", job)
    compare = _ShiftedComparison(torch.from_numpy(flat), side)
    found = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), _BATCH):
        some = slice(start, start + _BATCH)
        found[some] = compare(first[some], second[some]) >= SAME_PLACE
        reporter.advance(len(first[some]))
    pairs = np.stack([first[found], second[found]], axis=1)
    return pairs.astype(np.int64) if count else np.empty((0, 2), np.int64)


def clusters(
    count: int, pairs: NDArray[np.int64], groups: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Number of the cluster of each image: linked by pairs, or by the same non-empty group.

    Returns
    -------
    int64, shape (count,)
        Counted from 0 in order of appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [tuple(pair) for pair in pairs.tolist()]
    first_of: dict[str, int] = {}
    for index, group in enumerate(groups or ()):
        if group:
            links.append((first_of.setdefault(group, index), index))
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _flattened(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails without their uneven brightness, which alone would look like a likeness."""
    from scipy.ndimage import gaussian_filter

    x = thumbnails.astype(np.float32)
    x -= gaussian_filter(x, sigma=(0, _BLUR_PX, _BLUR_PX))
    spread = x.std(axis=(1, 2), keepdims=True)
    return np.asarray(x / np.maximum(spread, 1e-3), dtype=np.float32)


def _candidates(flat: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    count = len(flat)
    if count <= COMPARE_ALL:
        first, second = np.triu_indices(count, 1)
        return first.astype(np.int64), second.astype(np.int64)
    from scipy.fft import rfft2

    spectra = np.log1p(np.abs(rfft2(flat, axes=(1, 2)))).reshape(count, -1).astype(np.float32)
    spectra -= spectra.mean(axis=0)
    spectra /= np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), 1e-6)
    plain = flat.reshape(count, -1) / np.sqrt(flat[0].size)
    every = np.arange(count)
    steps = range(1, min(_NEXT_FILES, count - 1) + 1)
    keys = [_pair_keys(every[:-step], every[step:], count) for step in steps]
    for start in range(0, count, _BATCH):
        rows = np.arange(start, min(start + _BATCH, count))
        likeness = spectra[rows] @ spectra.T
        likeness[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-likeness, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        keys.append(_pair_keys(np.repeat(rows, _NEIGHBOURS), nearest.ravel(), count))
        alike = plain[rows] @ plain.T
        alike[np.arange(len(rows)), rows] = -np.inf
        a, b = np.nonzero(alike >= SAME_PLACE)
        keys.append(_pair_keys(rows[a], b, count))
    first, second = np.divmod(np.unique(np.concatenate(keys)), count)
    return first.astype(np.int64), second.astype(np.int64)


def _pair_keys(a: NDArray[np.int64], b: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.minimum(a, b) * count + np.maximum(a, b)


class _ShiftedComparison:
    """Highest correlation over all shifts with enough overlap, many pairs at a time."""

    def __init__(self, pictures: Tensor, side: int) -> None:
        import torch

        self._torch = torch
        self._size = (2 * side, 2 * side)
        self._pictures = pictures
        self._values = torch.fft.rfft2(pictures, s=self._size)
        # Shifts at which enough may overlap, in the order of the transform; and which rows (or
        # columns) of a picture then lie in the other.
        shift = (torch.arange(2 * side)[:, None] + side) % (2 * side) - side
        self._near = (shift[:, 0].abs() <= (1 - LEAST_OVERLAP) * side).nonzero()[:, 0]
        shift, place = shift[self._near], torch.arange(side)
        self._there = ((place >= shift) & (place < side + shift)).to(torch.float32)
        self._back = ((place >= -shift) & (place < side - shift)).to(torch.float32)
        self._overlap = self._sums(torch.ones(1, side, side), self._there)
        self._too_small = self._overlap < LEAST_OVERLAP * side * side
        own = self._correlate(self._values, self._values) / self._overlap.clamp(min=1)
        self._own = own.masked_fill(self._too_small, 0.0)

    def __call__(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        torch = self._torch
        a, b = torch.from_numpy(first), torch.from_numpy(second)
        n = self._overlap.clamp(min=1)
        sum_a, part_a = self._of_each(a, self._there)
        sum_b, part_b = self._of_each(b, self._back)
        shared = self._correlate(self._values[a], self._values[b]) - sum_a * sum_b / n
        # A part without structure says nothing, however well it fits.
        least = 0.05 * n
        scale = (part_a.clamp(min=1e-3) * part_b.clamp(min=1e-3)).sqrt()
        flat = self._too_small | (part_a < least) | (part_b < least)
        alike = shared / scale
        # Neighbouring pixels are alike: fewer cases than pixels (Bartlett 1935).
        grain = (self._own[a] * self._own[b]).sum(dim=(1, 2), keepdim=True).clamp(min=1.0)
        sure = torch.atanh(alike.clamp(-0.99, 0.99)) * (n / grain).sqrt()
        unsure = flat | (sure < LEAST_SURE)
        likeness = alike.masked_fill(unsure, -1.0).flatten(1).max(dim=1).values
        found: NDArray[np.float32] = likeness.numpy()
        return found

    def _of_each(self, which: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Sum, and sum of squares about the mean, of what lies in the other, at every shift.

        Worked out once for a picture that is in many pairs.
        """
        once, place = self._torch.unique(which, return_inverse=True)
        pictures = self._pictures[once]
        total = self._sums(pictures, inside)
        part = self._sums(pictures**2, inside) - total**2 / self._overlap.clamp(min=1)
        return total[place], part[place]

    def _sums(self, pictures: Tensor, inside: Tensor) -> Tensor:
        return inside @ pictures @ inside.T

    def _correlate(self, a: Tensor, b: Tensor) -> Tensor:
        moved: Tensor = self._torch.fft.irfft2(a * b.conj(), s=self._size)
        return moved[:, self._near][:, :, self._near]
