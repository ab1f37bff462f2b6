"""Strokes in a real viewer, each with the next key or click close behind it: none is lost.

``xvfb-run -a python -m benchmarks.attacks.strokes --times 200``: teaching with the brush, answering
the cells of a review, and correcting a map. 0 to 300 ms lie between a stroke and what follows; half
of the time the window is busy meanwhile, so that events queue up. A click on the place of the last
one within 400 ms is a double click, as windows have it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks.harness import Tally, options, print_table, workplace

PLUGIN = "napari-sem-classify"
TILE, SIDE = 16, 40
CLASSES = ("dark", "bright", "odd")


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let the window work until something holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the viewer did not get there")
        QApplication.processEvents()
        time.sleep(0.005)


@contextmanager
def a_viewer(folder: Path) -> Iterator[Any]:
    """A viewer with an image of `SIDE` by `SIDE` tiles that lies on disk."""
    import napari
    import tifffile
    from tiny_engine import TinyEngine

    import napari_sem_classify.core.network.engine as engines

    grey = np.full((SIDE * TILE, SIDE * TILE), 60.0)
    grey[:, grey.shape[1] // 2 :] = 190.0
    grey += np.random.default_rng(0).normal(0, 6, grey.shape)
    path = folder / "coating.tif"
    tifffile.imwrite(path, grey.clip(1, 254).astype(np.uint8))
    engines.make_engine = lambda **_settings: TinyEngine(batch_size=64)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    viewer.open(str(path), plugin=PLUGIN)
    try:
        yield viewer
    finally:
        viewer.close()


def hand_over(viewer: Any, chance: random.Random) -> Any:
    """A user's hand over the viewer."""
    from real_hand import Hand

    return Hand(viewer, chance)


def open_teach(viewer: Any) -> Any:
    """The Teach widget with three classes."""
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Teach")[1].opened
    until(lambda: widget.teacher.key is not None)
    widget.grid_form.tile_px.value = TILE
    for name in CLASSES:
        widget.class_table.add_class(name, edit=False)
    widget.class_table.choose(0)
    viewer.reset_view()
    until(lambda: not widget.teacher.learner.busy)
    return widget


def runs_of_tiles(chance: random.Random) -> Iterator[list[tuple[int, int]]]:
    """One to three tiles side by side, never a tile twice."""
    rows = list(range(SIDE))
    starts = [(row, col) for row in rows for col in range(0, SIDE - 2, 3)]
    chance.shuffle(starts)
    for row, col in starts:
        yield [(row, col + more) for more in range(chance.randint(1, 3))]


def centre(layer: Any, tile: tuple[int, int]) -> Any:
    """The place in the world of a tile's middle."""
    return np.array(layer.data_to_world(tile))[-2:]


def said_of(widget: Any) -> dict[tuple[int, int], str]:
    """The class of each annotated tile, by its row and column."""
    marks = widget.teacher.here.marks
    return {(y // TILE, x // TILE): mark.class_name for (y, x, _), mark in marks.items()}


def teaching(times: int, chance: random.Random, folder: Path) -> Tally:
    """Paint; some tiles twice at once, some with the next key while the button is down."""
    from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations

    tally, painted = Tally("strokes while teaching"), []
    with a_viewer(folder) as viewer:
        widget, hand = open_teach(viewer), hand_over(viewer, chance)
        for tiles in runs_of_tiles(chance):
            if len(painted) >= times:
                break
            number = chance.randrange(len(CLASSES))
            points = [centre(widget.teacher.painting.layer, tile) for tile in tiles]
            if chance.random() < 0.25:  # another class first, on the very place
                hand.key(str((number + 1) % len(CLASSES) + 1))
                hand.stroke(points[:1])
                hand.pause()
            hand.key(str(number + 1))
            hand.pause()
            within = None
            if chance.random() < 0.1:
                within = lambda: hand.key(str(chance.randint(1, len(CLASSES))))  # noqa: E731
            hand.stroke(points, within)
            painted.append((tiles, CLASSES[number]))
            if chance.random() < 0.5:
                hand.pause()
        hand.key("1")
        found = said_of(widget)
        layer = np.array(widget.teacher.painting.layer.data)
        widget.teacher.memory.keeper.flush()
        kept = load_annotations(beside(folder / "coating.tif")).images[0].marks
    for tiles, name in painted:
        for tile in tiles:
            said = found.get(tile)
            wrong = [] if said == name else [f"{said} instead of {name}"]
            if not wrong and layer[tile] != CLASSES.index(name) + 1:
                wrong.append("not shown")
            if not wrong and kept[tile[0] * TILE, tile[1] * TILE, TILE].class_name != name:
                wrong.append("not in the file")
            if wrong:
                break
        tally.count(wrong, f"stroke over {tiles}")
    return tally


def correcting(times: int, chance: random.Random, folder: Path) -> Tally:
    """Correct a map that learns from it and is drawn again meanwhile."""
    tally, painted = Tally("strokes while correcting"), []
    with a_viewer(folder) as viewer:
        widget, hand = open_teach(viewer), hand_over(viewer, chance)
        painting = widget.teacher.painting.layer
        with painting.block_history():
            for row in range(0, SIDE, 8):
                for number, col in enumerate((1, SIDE - 2, SIDE // 2)):
                    painting.paint((row, col), number + 1)
        until(lambda: widget.teacher.maps.own is not None and not widget.teacher.learner.busy)
        layer = widget.teacher.maps.own
        viewer.layers.selection.active = layer
        layer.mode = "paint"
        taught = set(said_of(widget))
        for tiles in runs_of_tiles(chance):
            if len(painted) >= times:
                break
            if taught & set(tiles):
                continue
            number = chance.choice(
                [n for n in (1, 2, 3) if n not in {layer.data[t] for t in tiles}]
            )
            hand.key(str(number))
            hand.pause()
            if any(layer.data[tile] == number for tile in tiles):
                continue  # the map says so by now: nothing to correct
            within = None
            if chance.random() < 0.1:
                within = lambda: hand.key(str(chance.randint(1, len(CLASSES))))  # noqa: E731
            hand.stroke([centre(layer, tile) for tile in tiles], within)
            painted.append((tiles, CLASSES[number - 1]))
            if chance.random() < 0.5:
                hand.pause()
        hand.key("1")
        found = said_of(widget)
        until(lambda: not widget.teacher.learner.busy)
        shown = np.array(layer.data)
    for tiles, name in painted:
        said = {found.get(tile) for tile in tiles}
        wrong = [] if said == {name} else [f"{said} instead of {name}"]
        if not wrong and {int(shown[tile]) for tile in tiles} != {CLASSES.index(name) + 1}:
            wrong.append("not shown")
        tally.count(wrong, f"stroke over {tiles}")
    return tally


def reviewing(times: int, chance: random.Random, folder: Path) -> Tally:
    """Answer the cells of a review by keys, with clicks and drags of the view in between."""
    from class_maps import map_of

    from napari_sem_classify.core.measure.review_file import load_review
    from napari_sem_classify.plugin.layers.made_layers import add_class_map
    from napari_sem_classify.plugin.measure.widget import REVIEW

    tally = Tally("answers while reviewing")
    labels = np.random.default_rng(1).integers(1, 4, (SIDE, SIDE))
    with a_viewer(folder) as viewer:
        add_class_map(viewer, map_of(labels, names=CLASSES), viewer.layers["coating"])
        widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")[1].opened
        until(lambda: bool(widget.fields))
        widget.tabs.setCurrentIndex(REVIEW)
        widget.review_form.cells.value = times
        widget.review_form.start.native.click()
        hand, told = hand_over(viewer, chance), []
        for _ in range(times):
            number = chance.randint(1, 3)
            if chance.random() < 0.2:
                middle = np.array(viewer.camera.center)[-2:]
                hand.stroke([middle, middle + 3])
            if chance.random() < 0.2:
                widget.review_form.cell_form.buttons[number - 1].click()
            else:
                hand.key(str(number))
            told.append(number)
            hand.pause()
        (path,) = folder.glob("*.review.json")
        kept = [cell.answer for cell in load_review(path).cells]
    for number, answer in zip(told, kept, strict=True):
        tally.count([] if answer == number else [f"{answer} instead of {number}"])
    return tally


def attacks(times: int, seed: int, only: str) -> Iterator[Tally]:
    """Run all, or those whose name holds `only`."""
    os.environ["MESA_SHADER_CACHE_DISABLE"] = "1"  # it tells of a folder that went away
    with workplace() as place:
        for attack in (teaching, reviewing, correcting):
            if only in attack.__name__:
                folder = place / attack.__name__
                folder.mkdir()
                yield attack(times, random.Random(seed), folder)


if __name__ == "__main__":
    told = options(__doc__, 200).parse_args()
    print_table(attacks(told.times, told.seed, told.only))
