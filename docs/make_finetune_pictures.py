"""Make `docs/finetune-*.png`: the walk of `docs/finetune.md`, driven in a real viewer.

Run with ``xvfb-run -a -s "-screen 0 1600x1100x24" python docs/make_finetune_pictures.py``. The
image is the generated sample; its tiles are annotated as its truth has them. The training is short
and small, so that it takes a minute or two on a CPU.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH_PX, HEIGHT_PX = 1200, 960
COLOURS = 256
MAX_KB = 300
PATIENCE_S = 420.0
CLASSES = ("coating", "oxide", "substrate")
TILE_PX, TILES_PER_CLASS, MIN_SHARE = 48, 60, 0.5
STAGES = [("48", "1", "2", "1e-3", "1e-3"), ("64", "0", "2", "1e-3", "5e-4")]
SAMPLE = "cross_section"
PLUGIN = "napari-sem-classify"


def main() -> None:
    """Fine-tune on the sample, from the annotations to the classified image."""
    with tempfile.TemporaryDirectory() as made:
        # Annotations, models and caches of the user stay out of the pictures.
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            os.environ[name] = str(Path(made) / "data")
        _drive()


def _drive() -> None:
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(WIDTH_PX, HEIGHT_PX)
    viewer.open_sample(PLUGIN, SAMPLE)
    truth, names = viewer.layers[1].data, list(viewer.layers[1].features["class"])
    viewer.layers.remove(viewer.layers[1])
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Fine-tune")[1].opened
    wait(lambda: not widget.data_form.finder.looking)
    viewer.reset_view()
    annotate(viewer, np.asarray(truth), names)
    wait(lambda: widget.summary_form.pictures.isVisible())
    wait(lambda: widget.expected.note.said.startswith("About "))
    shoot(viewer, "1-data")

    form = widget.schedule_form
    form.options.native.click()
    form.augment._controls["shot_noise"].value = 10.0
    wait(lambda: "noise" in form.augment.told.said)
    widget._scroll_to(form.stages)
    wait(lambda: False, 1.0)
    shoot(viewer, "2-settings")
    form.options.native.click()

    widget.schedule_form.set_stages(STAGES)
    widget.run_form.button.native.click()
    wait(lambda: widget._snapshot is not None and len(widget._snapshot.epochs) >= 4)
    shoot(viewer, "3-running")

    wait(lambda: not widget.busy)
    print(widget.run_form.message.said, widget.result_form.score.said)
    widget.result_form.pictures.choose(0)
    wait(lambda: False, 0.5)
    shoot(viewer, "4-result")

    widget.result_form.classify.native.click()
    wait(lambda: not widget.result_form.saving)
    viewer.close()


def annotate(viewer: Any, truth: Any, names: list[str]) -> None:
    """Annotate some tiles of each class, as Teach does."""
    from napari_sem_classify.core.annotate.place import fingerprint
    from napari_sem_classify.core.tiles.grid import TileGrid
    from napari_sem_classify.plugin.app.session import unwrapped
    from napari_sem_classify.plugin.layers.layer_image import image_from_layer
    from napari_sem_classify.plugin.teach.book import book_of

    image = image_from_layer(viewer.layers[0])
    key, grid = fingerprint(image), TileGrid(image.area, TILE_PX, TILE_PX)
    book = book_of(unwrapped(viewer))
    book.take_in(image, key, None)
    annotations = book.annotations
    order = np.random.default_rng(0).permutation(grid.n_tiles)
    for name in CLASSES:
        annotations = annotations.with_class(name)
        places = []
        for number in order.tolist():
            window = grid.window(*divmod(number, grid.tile_shape[1]))
            part = truth[window.top : window.bottom, window.left : window.right]
            if (part == names.index(name)).mean() > MIN_SHARE:
                places.append((window.top, window.left, TILE_PX))
        annotations = annotations.with_marks(key, places[:TILES_PER_CLASS], name)
    book.edit(annotations)


def wait(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Let the viewer work until something is so, or for a time."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        QApplication.processEvents()
        time.sleep(0.01)


def shoot(viewer: Any, step: str) -> None:
    """Save the window as a small PNG."""
    wait(lambda: False, 1.0)
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    path = Path(__file__).with_name(f"finetune-{step}.png")
    for colours in (COLOURS, COLOURS // 2, COLOURS // 4):
        shot.quantize(colours, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        if path.stat().st_size < 1000 * MAX_KB:
            break
    print(f"{path}: {path.stat().st_size // 1000} kB, {shot.size[0]} × {shot.size[1]} px")


if __name__ == "__main__":
    main()
