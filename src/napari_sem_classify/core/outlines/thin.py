"""Thin classes: what in a tile with a crack is the crack.

A tile takes such a class because it contains some of it, not because most of it is that. So inside
such tiles the class gets the lines, dark or bright, that stand out further than tiles without the
class have them: nine in ten of those have fewer such pixels than a tile with it must contain.
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
    patches_of,
)
from napari_sem_classify.core.outlines.lattice import cell_centres

FEWEST_TILES = 4
"""Of either kind, without which nothing is known of lines."""
PASSED = 0.9
TOLD_APART = 0.7
"""Of less, lines are not what makes a tile one of the class, and none are drawn."""
_SCALES = (0, 1, 2)
"""Of `looks.SCALES`: lines up to about an eighth of a tile wide."""
FARTHEST = 4
"""Cells from which one with a thin class takes its areas; in the midst of more it keeps its own."""
SUREST = 0.98
"""Probability of the class where it was drawn, so that a line keeps its width between middles."""


@dataclass(frozen=True, slots=True)
class LineRule:
    """When a pixel of a tile with the class is of it.

    Attributes
    ----------
    dark : bool
        Whether its lines are darker than their surroundings.
    scale : int
        At which of `looks.SCALES` they stand out most.
    strength : float
        Curvature across the line from which it is one.
    told_apart : float
        How often a tile with the class has stronger lines than one without, 0.5 for no better than
        chance.
    """

    dark: bool
    scale: int
    strength: float
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


def lines(looks: NDArray[np.float32], dark: bool, scale: int) -> NDArray[np.float32]:
    """How much of a line each square is: curvature across it, less that along it."""
    across, along = looks[..., 5 * scale + 2], looks[..., 5 * scale + 3]
    if not dark:
        across, along = -along, -across
    return np.asarray(across - np.abs(along))


def line_rule(scene: Scene, number: int, reporter: Reporter) -> LineRule | None:
    """The rule of class `number`, from tiles with it and without; None where there are too few."""
    contains = scene.class_map.classes[number].contains or 0.0
    found: dict[tuple[bool, int], list[float]] = {
        (dark, scale): [] for dark in (True, False) for scale in _SCALES
    }
    with_it: list[bool] = []
    ground: list[int] = []
    areas = [n for n, info in enumerate(scene.class_map.classes) if info.contains is None]
    for patch in patches_of(scene.lattice):
        places = bag_places(scene, patch)
        if places is None:
            continue
        seen = scene.looks(patch)
        strengths = {kind: lines(seen, *kind) for kind in found}
        side = places.side
        for top, left, known in zip(places.tops, places.lefts, places.known, strict=True):
            with_it.append(int(known.argmax()) == number)
            ground.append(int(known[areas].argmax()))
            for kind, strength in strengths.items():
                tile = strength[top : top + side, left : left + side]
                found[kind].append(float(np.quantile(tile, 1.0 - contains)))
        reporter.check()
    mine = np.array(with_it, dtype=bool)
    if not mine.any():
        return None
    # Lines are compared with those of tiles that lie in the same class as most tiles with it.
    grounds = np.array(ground)
    alike = mine | (grounds == np.bincount(grounds[mine]).argmax())
    if min(mine.sum(), (alike & ~mine).sum()) < FEWEST_TILES:
        return None
    rules = [_rule(*kind, np.array(values)[alike], mine[alike]) for kind, values in found.items()]
    best = max(rules, key=lambda rule: rule.told_apart)
    return best if best.told_apart >= TOLD_APART else None


def _rule(dark: bool, scale: int, values: NDArray[np.float64], mine: NDArray[np.bool_]) -> LineRule:
    pairs = values[mine][:, None] - values[~mine][None, :]
    apart = float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    return LineRule(dark, scale, float(np.quantile(values[~mine], PASSED)), apart)


def thin_squares(scene: Scene, number: int, rule: LineRule, block: Area) -> NDArray[np.bool_]:
    """Which squares of a block are of the class."""
    inside: NDArray[np.bool_] = _nearest(scene, block) == number + 1
    if not inside.any():
        return inside
    return np.asarray(inside & (lines(scene.looks(block), rule.dark, rule.scale) > rule.strength))


def _nearest(scene: Scene, block: Area) -> NDArray[np.uint16]:
    """Class number of the cell in whose middle each square lies nearest."""
    px, labels = scene.lattice.px, scene.class_map.labels()
    at = []
    for first, last, centres in zip(
        (block.top, block.left),
        (block.bottom, block.right),
        cell_centres(scene.class_map),
        strict=True,
    ):
        places = (np.arange(first, last) + 0.5) * px
        at.append(np.searchsorted((centres[:-1] + centres[1:]) / 2, places))
    return np.asarray(labels[np.ix_(*at)])


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
