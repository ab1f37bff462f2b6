"""Which cells of a class map a person looks at, and what she says about them.

Of outlines the cells are pixels, and she is asked what lies at a point: that is point counting
(ASTM E562), with random points in place of a grid.

The cells are a stratified random sample: the strata are the classes of the map, within a stratum
every cell is equally likely to be drawn. A review is plain frozen data; each answer gives a new
one. Cells come in an order in which the strata are mixed in proportion, so that a review that is
stopped early is still a stratified random sample, of fewer cells.

Sampling design after Olofsson et al., Remote Sens. Environ. 148 (2014) 42-57, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.maps.class_map import ClassMap, map_sha256
from napari_sem_classify.core.measure.strata import Strata, first_of_order, strata_of
from napari_sem_classify.core.model.card import ClassInfo

UNSURE: Literal["unsure"] = "unsure"
SKIPPED: Literal["skipped"] = "skipped"
Answer = int | Literal["unsure", "skipped"]

LEAST_IN_STRATUM = 50
"""Olofsson et al. (2014), section 5.1: 50 or more in a rare stratum, the rest in proportion."""


@dataclass(frozen=True, slots=True)
class ReviewedMap:
    """Which class map a review was drawn from.

    Attributes
    ----------
    name : str
        Of the image.
    plane : tuple of int
        Plane of a stack, () for a single image.
    sha256 : str
        Of the map's classes and grid, see `map_sha256`.
    """

    name: str
    plane: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class ReviewCell:
    """A cell of the sample.

    Attributes
    ----------
    image : int
        Place of its class map in `Review.images`.
    row, col : int
        Place in the class map.
    map_class : int
        Class that the map gives it, 1 for the first: its stratum.
    area_px : int
        Pixels it holds; cells at the border hold fewer.
    answer : int, "unsure", "skipped" or None
        Class seen by the reviewer (1 for the first), or why there is none; None not asked yet.
    """

    image: int
    row: int
    col: int
    map_class: int
    area_px: int
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A sample of cells or points, and the answers so far.

    Attributes
    ----------
    classes : tuple of ClassInfo
    images : tuple of ReviewedMap
    seed : int
        The same maps, seed and numbers give the same sample.
    stratum_cells, stratum_area_px : tuple of int
        Cells and pixels of each class in all the maps.
    cells : tuple of ReviewCell
        In the order in which they are shown.
    blind : bool or None
        Whether the map was hidden at every answer; None where that was not noted.
    points : bool
        Whether the cells are pixels of outlines, so that points are asked for.
    """

    classes: tuple[ClassInfo, ...]
    images: tuple[ReviewedMap, ...]
    seed: int
    stratum_cells: tuple[int, ...]
    stratum_area_px: tuple[int, ...]
    cells: tuple[ReviewCell, ...]
    blind: bool | None = None
    points: bool = False

    @property
    def unit(self) -> str:
        """What is looked at, for texts: "cell" or "point"."""
        return "point" if self.points else "cell"

    @property
    def n_answered(self) -> int:
        """Cells with a class or "unsure"."""
        return sum(cell.answer not in (None, SKIPPED) for cell in self.cells)

    @property
    def next_open(self) -> int | None:
        """Place of the next cell to show: those not asked, then skipped ones; None at the end."""
        for wanted in (None, SKIPPED):
            for index, cell in enumerate(self.cells):
                if cell.answer == wanted:
                    return index
        return None

    def with_answer(
        self, index: int, answer: Answer | None, *, blind: bool | None = None
    ) -> Review:
        """The review with another answer for the cell at `index`; None takes an answer back.

        `blind` tells whether the map was hidden. One answer with the map in view makes the whole
        review one that was not blind; answers that nothing is known of are never called blind.

        Raises
        ------
        ValueError
            When `answer` is no class of the review.
        """
        if isinstance(answer, int) and not 1 <= answer <= len(self.classes):
            raise ValueError(f"{answer} is no class of this review")
        changed = replace(self.cells[index], answer=answer)
        if blind and any(cell.answer is not None for cell in self.cells):
            blind = self.blind
        cells = (*self.cells[:index], changed, *self.cells[index + 1 :])
        return replace(self, cells=cells, blind=self.blind if blind is None else blind)


def start_review(
    maps: Sequence[ClassMap], total: int, *, seed: int = 0, per_class: Sequence[int] | None = None
) -> Review:
    """Draw a stratified random sample of cells from one or several class maps.

    The maps have the same classes; their cells are one population. `allocate` shares out `total`,
    at most as many cells as there are; `per_class` gives the cells of each class instead.

    Raises
    ------
    AnnotationError
        When there is no map or no classified cell, or the maps have different classes.
    """
    classes = check_same_classes(maps)
    strata = strata_of(maps)
    counts = strata.counts
    if not sum(counts):
        raise AnnotationError("The class map has no classified cell: classify the image first.")
    wanted = list(per_class) if per_class is not None else allocate(counts, total)
    cells = _draw(strata, wanted, seed)
    images = tuple(ReviewedMap(m.image_name, m.plane, map_sha256(m)) for m in maps)
    areas = tuple(strata.areas_px)
    return Review(classes, images, seed, tuple(counts), areas, cells, points=maps[0].of_pixels)


def extend_review(review: Review, maps: Sequence[ClassMap], per_class: Sequence[int]) -> Review:
    """Draw more cells of each class to a review; answers stay.

    The cells of a class are the first ones of a fixed random order, so that the longer sample is
    as random as one drawn at once. `per_class` is what to add, see `review_plan.more_cells`.

    Raises
    ------
    AnnotationError
        When the maps are not those of the review.
    """
    check_review(review, maps)
    have = [sum(cell.map_class == k + 1 for cell in review.cells) for k in range(len(per_class))]
    wanted = [old + more for old, more in zip(have, per_class, strict=True)]
    whole = start_review(maps, 0, seed=review.seed, per_class=wanted)
    known = {(cell.image, cell.row, cell.col) for cell in review.cells}
    added = [cell for cell in whole.cells if (cell.image, cell.row, cell.col) not in known]
    return replace(review, cells=(*review.cells, *added))


def allocate(counts: Sequence[int], total: int, least: int | None = None) -> list[int]:
    """Share `total` cells out to the classes: a minimum to each, the rest in proportion.

    Olofsson et al. (2014), section 5.1: in proportion alone, a rare class gets too few cells for
    its user's accuracy; in equal parts, the overall figures suffer.

    No class gets more than its `counts`, the cells it has in the map; the sum is `total`, or all
    cells where there are fewer. `least` is the minimum of each class that is there; where it is not
    given `LEAST_IN_STRATUM`, but no more than half of `total` in all.
    """
    there = [k for k, count in enumerate(counts) if count > 0]
    total = min(total, sum(counts))
    if least is None:
        least = min(LEAST_IN_STRATUM, total // (2 * len(there))) if there else 0
    least = min(least, total // len(there)) if there else 0
    wanted = [min(least, count) for count in counts]
    remaining = total - sum(wanted)
    while remaining > 0:
        room = [count - have for count, have in zip(counts, wanted, strict=True)]
        open_cells = sum(count for count, free in zip(counts, room, strict=True) if free > 0)
        ideal = [
            remaining * count / open_cells if free > 0 else 0.0
            for count, free in zip(counts, room, strict=True)
        ]
        step = [min(int(want), free) for want, free in zip(ideal, room, strict=True)]
        if not any(step):  # less than one a class is left: largest remainders first
            best = sorted(there, key=lambda k: -ideal[k])[:remaining]
            step = [int(k in best and room[k] > 0) for k in range(len(counts))]
        wanted = [have + more for have, more in zip(wanted, step, strict=True)]
        remaining -= sum(step)
    return wanted


def check_review(review: Review, maps: Sequence[ClassMap]) -> None:
    """Make sure that the maps are those that the review was drawn from.

    Raises
    ------
    AnnotationError
        When an image is missing, or its map was made anew and differs.
    """
    if len(maps) != len(review.images):
        raise AnnotationError(
            f"This review was drawn from {len(review.images)} class maps and there are "
            f"{len(maps)}: choose the same ones, or start a new review."
        )
    for known, class_map in zip(review.images, maps, strict=True):
        if known.sha256 != map_sha256(class_map):
            raise AnnotationError(
                f"The class map of {class_map.image_name or known.name} is not the one that this "
                "review was drawn from: start a new review, or open the map it was drawn from."
            )


def check_same_classes(maps: Sequence[ClassMap]) -> tuple[ClassInfo, ...]:
    """Give the classes that all the maps have.

    Raises
    ------
    AnnotationError
        When there is no map, or they differ.
    """
    if not maps:
        raise AnnotationError("There is no class map to review: classify an image first.")
    first = maps[0]
    names = [info.name for info in first.classes]
    for other in maps[1:]:
        if [info.name for info in other.classes] != names:
            raise AnnotationError(
                f"{first.image_name} and {other.image_name} have maps of different classes: "
                "review only maps of one model together."
            )
        if other.of_pixels != first.of_pixels:
            raise AnnotationError(
                "Outlines and maps of tiles are no fields of one specimen: choose either kind."
            )
    return first.classes


def _draw(strata: Strata, wanted: Sequence[int], seed: int) -> tuple[ReviewCell, ...]:
    drawn: list[tuple[float, ReviewCell]] = []
    for k, n in enumerate(wanted):
        # One generator a class, so that a longer sample of it begins with the shorter one.
        chosen = first_of_order(np.random.default_rng([seed, k]), strata.counts[k], n)
        for place, index in enumerate(chosen):
            image, row, col, area = strata.cell(k, index)
            # Evenly spread over the whole order, so that any first part holds all classes; the
            # shift differs by class, lest the order tells the map's answer.
            shift = (k + 0.5) / len(wanted)
            cell = ReviewCell(image, row, col, k + 1, area)
            drawn.append(((place + shift) / len(chosen), cell))
    drawn.sort(key=lambda item: item[0])
    return tuple(cell for _, cell in drawn)
