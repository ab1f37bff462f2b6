"""Make `docs/teach-*.png`: the tutorial of `docs/teach.md`, driven in a real viewer.

Run with ``xvfb-run -a -s "-screen 0 1600x1100x24" python docs/make_teach_pictures.py``. The image
is the generated sample; tiles are painted as its truth has them, one brush stroke each. For the
second specimen the coatings of ``../shared/data`` are taken (MIT license): three teach the model,
another is opened, and the suggested tiles are answered as the mask has them. With ``sample``
or ``specimen`` behind it only one of the two walks is made.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_sem_classify.plugin.layers.legend import legend_of

WIDTH_PX, HEIGHT_PX = 1200, 960
COLOURS = 256
MAX_KB = 300
PATIENCE_S = 300.0
SETTLE_S = 3.0
CLASSES = ("coating", "oxide", "substrate")
SAMPLE = "cross_section"
PLUGIN = "napari-sem-classify"
DATA = Path(__file__).parents[2] / "shared" / "data" / "nasa"
SECOND, COATINGS = "ebc__032919_10_100cyc0017", "0=substrate,1=oxide,2=crack>=2%"
TAUGHT_ON = "010417_4", "032919_6", "040617_2"


def main() -> None:
    """Teach the sample from the first class to the saved model, a picture at each step."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "data"
        # Annotations, models and caches of the user stay out of the pictures.
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            os.environ[name] = str(folder)
        wanted = sys.argv[1:] or ["sample", "specimen"]
        if "sample" in wanted:
            _drive(folder)
        if "specimen" in wanted and DATA.is_dir():
            _second_specimen(folder)


def _drive(folder: Path) -> None:
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(WIDTH_PX, HEIGHT_PX)
    viewer.open_sample(PLUGIN, SAMPLE)
    image = viewer.layers[0]
    truth = np.asarray(viewer.layers[1].data)
    names = list(viewer.layers[1].features["class"])
    viewer.layers.remove(viewer.layers[1])
    viewer.layers.selection.active = image
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Teach")[1].opened
    teacher, learner = widget.teacher, widget.teacher.learner
    wait(lambda: teacher.key is not None)
    wait(lambda: False, 1.0)
    viewer.reset_view()
    tiles = tiles_of_classes(truth, names, teacher.grid)

    for name in CLASSES:
        widget.class_table.add_class(name, edit=False)
    shoot(viewer, "1-classes")

    look, (rows, cols) = widget.guide.look_form.similar, teacher.grid.tile_shape
    look.find_at((rows // 2, cols // 2))
    wait(lambda: widget.guide.tour.active)
    viewer.reset_view()
    shoot(viewer, "look")
    widget.guide.stop()
    viewer.layers.remove(next(layer for layer in viewer.layers if "alike" in layer.name))

    def scored() -> bool:
        known = learner.learned is not None and learner.learned.scored
        return known and not learner.out_of_date and not learner.busy

    paint(teacher, tiles, slice(0, 4))
    wait(scored)
    shoot(viewer, "2-first-map")

    paint(teacher, tiles, slice(4, 24))
    wait(lambda: False, 1.0)
    wait(scored)
    widget.frame.turn_to("Score")
    shoot(viewer, "3-score")
    widget.frame.turn_to("Annotate")

    widget.guide.button.native.click()
    wait(lambda: widget.guide.tour.active)
    shoot(viewer, "4-suggest")
    widget.guide.stop()
    viewer.reset_view()

    own = teacher.maps.own
    shown, wrong = np.asarray(own.data), []
    for number, name in enumerate(CLASSES, start=1):
        wrong += [(at, number) for at in tiles[name] if shown[at] != number]
    print(f"{len(wrong)} cells of the map are not as the truth has them")
    own.mode = "paint"
    for at, number in wrong[:6]:
        own.paint(at, number)
        wait(lambda: False, 0.2)
    viewer.layers.selection.active = own
    wait(lambda: False, 1.0)
    wait(scored)
    shoot(viewer, "5-correct")

    widget.keep_form.save_model(folder / "my coating.safetensors")
    wait(lambda: not widget.keep_form.saving)
    shoot(viewer, "6-saved")
    viewer.close()


def _second_specimen(folder: Path) -> None:
    """A specimen that is new to a model is opened, judged, and mended with ten tiles."""
    import napari

    from napari_sem_classify.core.model.catalogue import user_models_folder

    model = user_models_folder() / "coatings.safetensors"
    _teach_coatings(model)
    truth = np.asarray(Image.open(DATA / "masks" / f"{SECOND}.png"))
    viewer = napari.Viewer()
    viewer.window.resize(WIDTH_PX, HEIGHT_PX)
    # Annotations are kept beside the image: not in the folder of the data.
    copied = shutil.copy(DATA / "images" / f"{SECOND}.png", folder)
    [image] = viewer.open(copied, plugin="napari")
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Teach")[1].opened
    teacher, learner = widget.teacher, widget.teacher.learner
    wait(lambda: teacher.key is not None)
    combo = widget.start_form.model_form.combo
    combo.value = next(each for each in combo.choices if getattr(each, "path", None) == model)
    wait(lambda: learner.learned is not None and not learner.busy)
    viewer.reset_view()
    print(widget.judgement.said)
    shoot(viewer, "7-second")

    widget.guide.button.native.click()
    wait(lambda: widget.guide.tour.active)
    for _ in range(10):
        top, left, side = widget.guide.tour.place
        part = truth[top : top + side, left : left + side]
        crack = (part == 2).mean() >= 0.02
        widget.keys.press(2 if crack else int((part == 1).mean() > 0.5))
        wait(lambda: False, 0.2)
    wait(lambda: learner.learned.rise is not None and learner.learned.rise.tiles == 10)
    widget.guide.stop()
    widget.keep_form.save_model(folder / "coatings + second.safetensors")
    wait(lambda: not widget.keep_form.saving)
    viewer.layers.selection.active = image
    viewer.reset_view()
    print(widget.judgement.said, widget.keep_form.message.said)
    shoot(viewer, "8-mended")
    viewer.close()


def _teach_coatings(path: Path) -> None:
    from typer.testing import CliRunner

    from napari_sem_classify.cli import app

    images = sorted(each for name in TAUGHT_ON for each in (DATA / "images").glob(f"ebc__{name}*"))
    pairs = [("--image", str(each), "--labels", str(DATA / "masks" / each.name)) for each in images]
    options = ("--classes", COATINGS, "--tile", "64", "--out", str(path))
    found = CliRunner().invoke(app, ["teach", *(part for pair in pairs for part in pair), *options])
    print(found.output)


def tiles_of_classes(truth: Any, names: list[str], grid: Any) -> dict[str, list[tuple[int, int]]]:
    """Rows and columns of the tiles that a class covers for the most part, in random order."""
    rows, cols = grid.tile_shape
    order = np.random.default_rng(0).permutation(rows * cols)
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in CLASSES}
    for row, col in (divmod(int(number), cols) for number in order):
        area = grid.window(row, col)
        part = truth[area.top : area.bottom, area.left : area.right]
        for name in CLASSES:
            if (part == names.index(name)).mean() > 0.7:
                found[name].append((row, col))
    return found


def paint(teacher: Any, tiles: dict[str, list[tuple[int, int]]], some: slice) -> None:
    """Annotate some tiles of each class with the brush, a click each."""
    for number, name in enumerate(CLASSES, start=1):
        for at in tiles[name][some]:
            layer = teacher.painting.layer
            layer.selected_label = number
            with layer.block_history():
                layer.paint(at, number)
            wait(lambda: False, 0.02)


def wait(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Let the viewer work until something is so, or for a time."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        QApplication.processEvents()
        time.sleep(0.01)


def shoot(viewer: Any, step: str, walk: str = "teach") -> None:
    """Save the window as a small PNG, once the legend has all classes."""
    legend = legend_of(viewer)
    wait(lambda: legend.complete)
    wait(lambda: False, SETTLE_S)
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    path = Path(__file__).with_name(f"{walk}-{step}.png")
    for colours in (COLOURS, COLOURS // 2, COLOURS // 4):
        shot.quantize(colours, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        if path.stat().st_size < 1000 * MAX_KB:
            break
    print(f"{path}: {path.stat().st_size // 1000} kB, {shot.size[0]} × {shot.size[1]} px")


if __name__ == "__main__":
    main()
