"""What the user drew herself: pixels that she painted on outlines, as evidence for the rest.

Her pixels stay as she painted them, and what looks like them nearby follows. Of two classes or more
they teach the classifier of pixels beside the tiles, and say how much the map counts beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.model.head import softmax
from napari_sem_classify.core.outlines.lattice import Lattice
from napari_sem_classify.core.outlines.pixel_fit import Bags, Evidence, Pixels, fit_pixels

if TYPE_CHECKING:
    from napari_sem_classify.core.outlines.evidence import Scene

MOST_TAUGHT = 4096
"""Squares that teach, evenly over those of each class."""
FEWEST = 8
"""Squares of either fold, without which they only teach and do not judge."""
MAP_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BETTER = 0.98
"""Pixels count beside the map where they bring what her pixels leave open below so much of it."""


def in_squares(labels: NDArray[Any], lattice: Lattice) -> NDArray[np.uint16]:
    """Class number of each square of the lattice that she painted whole; 0 for the others.

    Parameters
    ----------
    labels : integer, shape (rows, cols)
        Of the area, px by px: 0 where she said nothing, 1 the first class.
    """
    px = lattice.px
    beyond = [(0, -length % px) for length in labels.shape]
    if any(more for _, more in beyond):
        labels = np.pad(labels, beyond, mode="edge")
    rows, cols = lattice.shape
    squares = labels.reshape(rows, px, cols, px)
    low, high = squares.min(axis=(1, 3)), squares.max(axis=(1, 3))
    return np.where(low == high, low, 0).astype(np.uint16)


def her_pixels(scene: Scene, reporter: Reporter) -> Pixels | None:
    """Looks of the squares that she painted, and what the map says there.

    None where she painted fewer than two classes: one alone tells it from no other, and would only
    be thought more frequent everywhere.
    """
    hers = scene.hers
    if hers is None:
        return None
    chosen = np.zeros(hers.shape, np.bool_)
    numbers = np.unique(hers[hers > 0])
    if len(numbers) < 2:
        return None
    for number in numbers:
        mine = np.flatnonzero(hers == number)
        most = min(len(mine), MOST_TAUGHT // len(numbers))
        chosen.flat[mine[np.linspace(0, len(mine) - 1, most).astype(np.int64)]] = True
    side = max(1, scene.lattice.tile // scene.lattice.px)
    parts = []
    for block in scene.lattice.blocks():
        inside = chosen[block.top : block.bottom, block.left : block.right]
        if not inside.any():
            continue
        at = np.nonzero(inside)
        rows, cols = at[0] + block.top, at[1] + block.left
        small = Area(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
        here = rows - small.top, cols - small.left
        log_map = scene.log_map(small)[here]
        known = ~np.isnan(log_map[:, 0])
        fold = (rows // side + cols // side) % 2
        numbers_here = hers[rows, cols].astype(np.int64) - 1
        found = scene.looks(small)[here], numbers_here, log_map, fold.astype(np.int64)
        parts.append(tuple(each[known] for each in found))
        reporter.check()
    if not parts:
        return None
    return Pixels(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def judged_by_her(evidence: Evidence, bags: Bags, hers: Pixels) -> Evidence:
    """The evidence with the map's weight that explains best what she painted.

    Her pixels are judged by a classifier that learned from tiles and pixels of the other fold. Too
    few of them leave the evidence as it is.
    """
    if min((hers.fold == fold).sum() for fold in (0, 1)) < FEWEST:
        return evidence
    logits = np.empty_like(hers.log_map)
    for fold in (0, 1):
        mine, tiles = hers.fold == fold, bags.fold != fold
        if not tiles.any():
            return evidence
        part = fit_pixels(bags.looks[tiles], bags.wanted[tiles], hers.some(~mine))
        logits[mine] = part.logits(hers.looks[mine])
    alone = _left_open(hers, hers.log_map)
    found = [_left_open(hers, logits + weight * hers.log_map) for weight in MAP_WEIGHTS]
    best = int(np.argmin(found))
    return replace(
        evidence, map_weight=MAP_WEIGHTS[best], by_hand=True, counts=found[best] < BETTER * alone
    )


def _left_open(hers: Pixels, logits: NDArray[np.float32]) -> float:
    """Mean cross-entropy of her classes, each class counting alike."""
    likely = softmax(logits)[np.arange(len(hers.numbers)), hers.numbers]
    lost = -np.log(likely + 1e-6)
    return float(np.mean([lost[hers.numbers == k].mean() for k in np.unique(hers.numbers)]))
