"""Thin classes: what in a tile with a crack is the crack.

A tile takes such a class because it contains some of it, not because most of it is that. So inside
such tiles the class gets the longest lines, dark or bright, as many as it takes for a tile to have
the class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.outlines.evidence import (
    SMALLEST,
    Scene,
    around,
    bag_places,
    inner,
    patches_of,
)
from napari_sem_classify.core.outlines.lattice import cell_centres
from napari_sem_classify.core.outlines.lines import HALO, line_strength

FEWEST_TILES = 4
"""Of either kind, without which nothing is known of lines."""
TOLD_APART = 0.6
"""Of less, lines are not what makes a tile one of the class, and none are drawn."""
BRIGHTER = 0.15
"""By so much more bright lines must tell tiles apart than dark ones to be the class."""
NEARLY, GROWN_BY = 0.8, 3
"""Squares of so much of a line's strength, so many beside it, belong to it."""
LIKELY = 3.0
"""Of so many times the share that makes a tile one of the class squares may be lines."""
FARTHEST = 4
"""Cells from which one with a thin class takes its areas; in the midst of more it keeps its own."""
SUREST = 0.98
"""Probability of the class where it was drawn, so that a line keeps its width between middles."""


@dataclass(frozen=True, slots=True)
class LineRule:
    """Which lines of a tile with the class are of it.

    Attributes
    ----------
    dark : bool
        Whether its lines are darker than their surroundings.
    told_apart : float
        How often a tile with the class has stronger lines than one without, 0.5 for no better than
        chance.
    """

    dark: bool
    told_apart: float


def between_thin(class_map: ClassMap, thin: list[int]) -> tuple[ClassMap, NDArray[np.bool_]]:
    """The map as if there were no thin classes, and which cells have one.

    Such a cell's pixels are in part of the thin class, and what the map says of it is about that:
    it takes after its neighbours.
    """
    labels = class_map.labels()
    taken = np.isin(labels, [number + 1 for number in thin])
    areas = np.delete(class_map.probabilities, thin, axis=-1) + np.float32(SMALLEST)
    areas /= areas.sum(axis=-1, keepdims=True)
    classes = tuple(info for n, info in enumerate(class_map.classes) if n not in thin)
    filled = areas.copy()
    filled[taken] = np.nan
    for _ in range(FARTHEST):
        lost = taken & np.isnan(filled[..., 0])
        filled[lost] = around(filled)[lost]
    lost = taken & np.isnan(filled[..., 0])
    filled[lost] = areas[lost]
    return replace(class_map, probabilities=filled, classes=classes), taken


def line_rule(scene: Scene, number: int, reporter: Reporter) -> LineRule | None:
    """The rule of class `number`, from tiles with it and without; None where there are too few."""
    contains = scene.class_map.classes[number].contains or 0.0
    found: dict[bool, list[float]] = {True: [], False: []}
    with_it: list[bool] = []
    ground: list[int] = []
    areas = [n for n, info in enumerate(scene.class_map.classes) if info.contains is None]
    for patch in patches_of(scene.lattice):
        places = bag_places(scene, patch)
        if places is None:
            continue
        side = places.side
        for dark, values in found.items():
            strength = strengths(scene, patch, dark)
            for top, left in zip(places.tops, places.lefts, strict=True):
                tile = strength[top : top + side, left : left + side]
                values.append(float(np.quantile(tile, 1.0 - contains)))
        with_it += [int(known.argmax()) == number for known in places.known]
        ground += [int(known[areas].argmax()) for known in places.known]
        reporter.check()
    mine = np.array(with_it, dtype=bool)
    if not mine.any():
        return None
    # Lines are compared with those of tiles that lie in the same class as most tiles with it.
    grounds = np.array(ground)
    alike = mine | (grounds == np.bincount(grounds[mine]).argmax())
    if min(mine.sum(), (alike & ~mine).sum()) < FEWEST_TILES:
        return None
    apart = {dark: _apart(np.array(each)[alike], mine[alike]) for dark, each in found.items()}
    # Beside dark lines bright rims are frequent: those are taken where they tell clearly more.
    dark = apart[True] + BRIGHTER >= apart[False]
    rule = LineRule(dark, apart[dark])
    return rule if rule.told_apart >= TOLD_APART else None


def _apart(values: NDArray[np.float64], mine: NDArray[np.bool_]) -> float:
    pairs = values[mine][:, None] - values[~mine][None, :]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def strengths(scene: Scene, block: Area, dark: bool) -> NDArray[np.float32]:
    """Strengths of lines in a block's squares."""
    grey, _, got = scene.grey(block, HALO)
    return inner(line_strength(grey, dark=dark), block, got)


def draw_lines(
    scene: Scene, number: int, rule: LineRule, blocks: list[Area], reporter: Reporter
) -> NDArray[np.bool_]:
    """Which squares of the lattice are of the class.

    In each cell that has it the longest lines are taken until they hold the share that makes a
    tile one of the class; a line that is taken in one cell is so in all that it runs through.
    """
    from skimage.measure import label
    from skimage.morphology import skeletonize

    contains = scene.class_map.classes[number].contains or 0.0
    shape = scene.lattice.shape
    strength = np.zeros(shape, np.float32)
    cells = _cells_of(scene, number)
    inside = np.zeros(shape, np.bool_)
    for rows, cols in cells:
        inside[rows, cols] = True
    for block in blocks:
        at = slice(block.top, block.bottom), slice(block.left, block.right)
        if inside[at].any():
            strength[at] = strengths(scene, block, rule.dark)
        reporter.advance()
    likely = np.zeros(shape, np.bool_)
    for cell in cells:
        part = strength[cell]
        likely[cell] = (part >= np.quantile(part, 1.0 - LIKELY * contains)) & (part > 0)
    joined: Any = label
    middle: Any = skeletonize
    pieces = np.asarray(joined(likely, connectivity=2))
    lengths = np.bincount(pieces[np.asarray(middle(likely), bool)], minlength=pieces.max() + 1)
    kept = np.zeros(len(lengths), np.bool_)
    for cell in cells:
        numbers, squares = np.unique(pieces[cell], return_counts=True)
        order = np.argsort(-lengths[numbers], kind="stable")
        order = order[numbers[order] > 0]
        before = np.cumsum(squares[order]) - squares[order]
        kept[numbers[order][before < contains * pieces[cell].size]] = True
    return _grown(np.where(kept[pieces], pieces, 0), strength, inside)


def _grown(
    pieces: NDArray[np.int64], strength: NDArray[np.float32], inside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Lines with the squares beside them that are nearly as strong: wide ones whole."""
    from scipy.ndimage import maximum_filter, median

    if not pieces.any():
        return np.asarray(pieces > 0)
    numbers = np.unique(pieces[pieces > 0])
    levels = np.zeros(int(numbers[-1]) + 1, np.float32)
    levels[numbers] = NEARLY * np.asarray(median(strength, pieces, numbers))
    for _ in range(GROWN_BY):
        beside = maximum_filter(pieces, 3)
        new = (pieces == 0) & (beside > 0) & inside & (strength >= levels[beside])
        pieces[new] = beside[new]
    return np.asarray(pieces > 0)


def _cells_of(scene: Scene, number: int) -> list[tuple[slice, slice]]:
    """Squares that lie nearest to the middle of each cell with the class."""
    ends = []
    for length, centres in zip(scene.lattice.shape, cell_centres(scene.class_map), strict=True):
        borders = (centres[:-1] + centres[1:]) / 2
        inner_ends = np.searchsorted((np.arange(length) + 0.5) * scene.lattice.px, borders)
        ends.append([0, *(int(each) for each in inner_ends), length])
    return [
        (slice(ends[0][row], ends[0][row + 1]), slice(ends[1][col], ends[1][col + 1]))
        for row, col in np.argwhere(scene.class_map.labels() == number + 1)
    ]


def line_measures(mask: NDArray[np.bool_], px: int, pixel_size_nm: float | None) -> dict[str, Any]:
    """Length and mean width of what was drawn, along its middle.

    A step to a diagonal neighbour counts √2. Lines thinner than a square of `px` image px are drawn
    as wide as one, so that narrower ones come out too wide.

    Returns
    -------
    dict
        ``length_px``, ``mean_width_px``, ``narrowest_px``, and ``length_um``, ``mean_width_um``
        where calibrated.
    """
    from skimage.morphology import skeletonize

    middle: Any = skeletonize
    line = np.asarray(middle(mask), dtype=bool)
    straight = int((line[1:] & line[:-1]).sum() + (line[:, 1:] & line[:, :-1]).sum())
    corner = line[:-1, :-1] | line[1:, 1:]
    across = (line[1:, 1:] & line[:-1, :-1] & ~line[1:, :-1] & ~line[:-1, 1:]).sum()
    across += (line[1:, :-1] & line[:-1, 1:] & ~corner).sum()
    length = (straight + np.sqrt(2.0) * float(across)) * px
    width = float(mask.sum()) * px * px / length if length else 0.0
    told = {"length_px": length, "mean_width_px": width, "narrowest_px": px}
    if pixel_size_nm is not None:
        told |= {
            "length_um": length * pixel_size_nm / 1000.0,
            "mean_width_um": width * pixel_size_nm / 1000.0,
        }
    return {key: round(float(value), 3) for key, value in told.items()}
