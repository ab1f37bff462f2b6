"""Outlines of a class map, from the map and its image alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Malformed
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.evened import evened_plane
from napari_sem_classify.core.image.intensity import measure_range, recorded_recipe
from napari_sem_classify.core.image.sem_image import SemImage, hold_plane
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.outlines.doubts import doubts
from napari_sem_classify.core.outlines.evidence import (
    Scene,
    inner,
    look_at_pixels,
    squares_say,
)
from napari_sem_classify.core.outlines.hers import as_painted, in_squares
from napari_sem_classify.core.outlines.lattice import (
    BLOCK_SQUARES,
    Lattice,
    cell_centres,
    interpolated,
)
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.outlines.refine import refined
from napari_sem_classify.core.outlines.thin import (
    SUREST,
    between_thin,
    draw_lines,
    line_measures,
    line_rule,
)
from napari_sem_classify.core.tiles.grid import TileGrid

MOST_NUMBERS = 1 << 26
"""Numbers (cells times classes) that outlines may have: they are held in memory."""


def with_outlines(
    class_map: ClassMap,
    image: SemImage,
    options: OutlineOptions,
    job: Job | None = None,
    hers: NDArray[Any] | None = None,
) -> ClassMap:
    """The map with its outlines, and in its record how they were drawn and what they cover.

    `hers` as of `draw_outlines`.
    """
    drawn = draw_outlines(class_map, image, options, hers=hers, job=job)
    told = dict(drawn.record["outlines"])
    # What could not be drawn has no area, rather than none.
    missing = {name for name, each in told.get("thin", {}).items() if not each["drawn"]}
    told["classes"] = [
        {
            "name": each.name,
            "fraction": None if each.name in missing else each.fraction,
            "area_um2": None if each.name in missing else each.area_um2,
        }
        for each in drawn.fractions()
    ]
    return replace(class_map, outlines=drawn, record={**class_map.record, "outlines": told})


def draw_outlines(
    class_map: ClassMap,
    image: SemImage,
    options: OutlineOptions | None = None,
    *,
    hers: NDArray[Any] | None = None,
    job: Job | None = None,
    block_squares: int = BLOCK_SQUARES,
) -> ClassMap:
    """Draw the outlines of a finished map: a finer map of the same tiles.

    All that is measured and written of a map goes for outlines too. The image is read block by
    block, each block with a halo, and any size of blocks gives the same.

    Parameters
    ----------
    class_map : ClassMap
        Of one plane, at any stride. It is not changed.
    image : SemImage
        The image that was classified.
    options : OutlineOptions, optional
    hers : integer, shape (rows, cols) of the area, optional
        Class numbers of pixels that a person painted, 0 elsewhere: evidence for the rest, see
        `hers`.
    job : Job, optional
        Told and checked once per block.
    block_squares : int
        Side of a block, see `lattice`.

    Returns
    -------
    ClassMap
        Its cells are `step` px wide; its record tells under "outlines" how it was made. Classes
        that tiles only contain are areas in it.

    Raises
    ------
    GridError
        When the step does not fit the tiles.
    ImageError
        When the image cannot be read, or so many cells would not fit into memory.
    Cancelled
        When the job was asked to stop.
    """
    options = options or OutlineOptions()
    # As the map was made: a mosaic frame by frame where it was.
    try:
        look = recorded_recipe(class_map.record.get("intensity"))
    except Malformed as error:
        raise ImageError(
            f"The map of {image.name} was made with a stretch that cannot be ({error}): make the "
            "map anew."
        ) from error
    source, plane = evened_plane(image, look, class_map.plane)
    held = hold_plane(source, plane)
    source, plane = (source, plane) if held is None else (held, ())
    grid, classes = class_map.grid, class_map.classes
    step = options.step_for(grid.tile)
    lattice = Lattice.over(grid.area, grid.tile, step)
    thin = [number for number, info in enumerate(classes) if info.contains is not None]
    thin = thin if len(thin) < len(classes) else []
    # Lines are thinner than a step: they are drawn square by square.
    fine = TileGrid(grid.area, grid.tile, lattice.px if thin else step)
    rows, cols = fine.shape
    if rows * cols * (len(classes) + 3) > MOST_NUMBERS:
        raise ImageError(
            f"Outlines of {image.name} in steps of {fine.stride} px have {rows} × {cols} places, "
            "more than this program holds at once: choose a larger step."
        )
    intensity = measure_range(source, look, plane)
    painted = None if hers is None else in_squares(hers, lattice)
    scene = Scene(source, plane, class_map, lattice, intensity, hers=painted)
    blocks = list(lattice.blocks(block_squares))
    reporter = Reporter(len(blocks) * (1 + len(thin)), "Drawing outlines", job)
    areas = scene
    if thin:
        between, taken = between_thin(class_map, thin)
        if painted is not None:
            numbers = np.zeros(len(classes) + 1, np.uint16)
            numbers[[n + 1 for n in range(len(classes)) if n not in thin]] = np.arange(
                1, len(classes) - len(thin) + 1
            )
            painted = numbers[painted]
        areas = replace(scene, class_map=between, unsaid=taken, hers=painted)
    drawn, told = _areas(areas, step, blocks, reporter)
    if thin:
        drawn, lines_told = _with_lines(scene, thin, drawn, fine, blocks, reporter)
        told["thin"] = lines_told
    told["doubts"] = doubts(drawn, told)
    return replace(
        drawn,
        classes=tuple(replace(info, contains=None) for info in classes),
        record={**class_map.record, "outlines": {"step_px": step, **told}},
        agreement=None,
        outlines=None,
    )


def _areas(
    scene: Scene, step: int, blocks: list[Area], reporter: Reporter
) -> tuple[ClassMap, dict[str, Any]]:
    """Outlines of the classes that are areas, in cells of `step` px, and what told them."""
    class_map, lattice = scene.class_map, scene.lattice
    evidence = look_at_pixels(scene, reporter)
    grid = TileGrid(class_map.grid.area, class_map.grid.tile, step)
    probabilities = np.empty((*grid.shape, len(class_map.classes)), np.float32)
    guide = np.empty((*grid.shape, 2), np.float32)
    held = None if scene.hers is None else np.zeros(grid.shape, np.bool_)
    n = step // lattice.px
    for block in blocks:
        at = (
            slice(block.top // n, -(-block.bottom // n)),
            slice(block.left // n, -(-block.right // n)),
        )
        said = squares_say(scene, evidence, block)
        if scene.hers is not None and held is not None:
            painted = scene.hers[block.top : block.bottom, block.left : block.right]
            said = as_painted(said, painted)
            share = _in_cells((painted > 0)[..., None].astype(np.float32), n)
            held[at] = share[..., 0] > 0.5
        probabilities[at] = _in_cells(said, n)
        grey, square, got = scene.grey(block, 0)
        mean = _in_cells(inner(grey, block, got)[..., None], n)
        spread = _in_cells(inner(square, block, got)[..., None], n) - mean * mean
        guide[at] = np.concatenate([mean, 2 * np.sqrt(np.maximum(spread, 0))], axis=-1)
        reporter.advance()
    flowed = refined(probabilities, guide, held=held)
    reporter.check()
    told: dict[str, Any] = {
        "pixels_gain": 0.0 if evidence is None else round(evidence.gain, 4),
        "map_weight": None if evidence is None else round(evidence.map_weight, 3),
    }
    if scene.hers is not None:
        told["painted_px"] = int((scene.hers > 0).sum()) * lattice.px**2
    return replace(class_map, probabilities=flowed, grid=grid), told


def _with_lines(
    scene: Scene,
    thin: list[int],
    areas: ClassMap,
    grid: TileGrid,
    blocks: list[Area],
    reporter: Reporter,
) -> tuple[ClassMap, dict[str, Any]]:
    """Lay the thin classes over the areas, in cells of one square; what is told of each."""
    class_map = scene.class_map
    px = grid.stride
    heights, widths = grid.cell_sizes()
    rows = np.arange(len(heights)) * px + heights / 2.0
    cols = np.arange(len(widths)) * px + widths / 2.0
    others = [n for n in range(len(class_map.classes)) if n not in thin]
    found = np.zeros((*grid.shape, len(class_map.classes)), np.float32)
    found[..., others] = interpolated(areas.probabilities, cell_centres(areas), rows, cols)
    found[np.isnan(found[..., others[0]])] = np.nan
    told: dict[str, Any] = {}
    for number in thin:
        name = class_map.classes[number].name
        rule = line_rule(scene, number, reporter)
        if rule is None:
            told[name] = {"drawn": False}
            reporter.advance(len(blocks))
            continue
        mask = draw_lines(scene, number, rule, blocks, reporter)
        mask &= ~np.isnan(found[..., 0])
        found[mask] *= np.float32(1.0 - SUREST)
        found[mask, number] += np.float32(SUREST)
        measured = line_measures(mask, px, class_map.pixel_size_nm)
        told[name] = {
            "drawn": True,
            "dark": rule.dark,
            "told_apart": round(rule.told_apart, 3),
            **measured,
        }
    return replace(class_map, probabilities=found, grid=grid), told


def outline_labels(cells: ClassMap, window: Area, every: int = 1) -> NDArray[np.uint16]:
    """Class numbers of a window of the image, px by px: 0 left out, 1 the first class.

    Between the middles of the cells of outlines probabilities are interpolated, so that edges are
    smooth. Pixels beyond the specimen area are 0. Of `every` so many rows and columns one is given.
    """
    area = cells.grid.area
    down, inside_rows = _places(window.top, window.bottom, area.top, area.bottom, every)
    along, inside_cols = _places(window.left, window.right, area.left, area.right, every)
    labels = np.zeros((len(down), len(along)), np.uint16)
    rows, cols = (
        down[inside_rows] - area.top + 0.5,
        along[inside_cols] - area.left + 0.5,
    )
    if not len(rows) or not len(cols):
        return labels
    found = interpolated(cells.probabilities, cell_centres(cells), rows, cols)
    numbers = np.nan_to_num(found, nan=-1.0).argmax(axis=-1).astype(np.uint16) + np.uint16(1)
    numbers[np.isnan(found[..., 0])] = 0
    labels[inside_rows, inside_cols] = numbers
    return labels


def _places(
    first: int, last: int, low: int, high: int, every: int
) -> tuple[NDArray[np.int64], slice]:
    """One pixel of `every` so many from `first` to `last`, and which of them lie in an area."""
    places = np.minimum(np.arange(first, last, every) + every // 2, last - 1)
    return places, slice(*(int(n) for n in np.searchsorted(places, (low, high))))


def _in_cells(squares: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Mean of `n` × `n` squares; cut ones at the border hold fewer; NaN where most are NaN."""
    beyond = [(0, -length % n) for length in squares.shape[:2]]
    if any(more for _, more in beyond):
        squares = np.pad(squares, [*beyond, (0, 0)], mode="edge")
    rows, cols, numbers = squares.shape
    pieces = squares.reshape(rows // n, n, cols // n, n, numbers)
    known = ~np.isnan(pieces[..., :1])
    if known.all():
        return np.asarray(pieces.mean(axis=(1, 3), dtype=np.float32))
    share = known.mean(axis=(1, 3), dtype=np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, pieces, 0).mean(axis=(1, 3), dtype=np.float32) / share
    means[share[..., 0] < 0.5] = np.nan
    return np.asarray(means, dtype=np.float32)
