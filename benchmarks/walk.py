"""A user's way through the program in a real window, and the same kinds of layers in napari alone.

Each method of a walk is a step and ends where its work does; `benchmarks.window_gaps` watches how
long the window stands still in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_S = 300
CLASSES = ("coating", "oxide", "substrate")


class Walk:
    """A user's way through the program; each method is a step and ends where its work does."""

    def __init__(self, folder: Path) -> None:
        import napari

        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1500, 1000)
        self.classify: Any = None
        self.measure: Any = None
        self.teach: Any = None

    def until(self, done: Callable[[], bool]) -> None:
        """Let the window work until something holds."""
        from qtpy.QtWidgets import QApplication

        start = time.perf_counter()
        while not done():
            QApplication.processEvents()
            time.sleep(0.0005)
            if time.perf_counter() - start > LIMIT_S:
                raise TimeoutError(f"not done after {LIMIT_S} s")

    def rest(self, seconds: float = 1.0) -> None:
        """Let the window work for a while."""
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)

    def open(self, entry: str) -> Any:
        """What an entry of the menu opens, once it has."""
        from napari_sem_classify.plugin.app.docks import PLUGIN

        made = self.viewer.window.add_plugin_dock_widget(PLUGIN, entry)[1]
        self.until(lambda: made.done)
        return made.opened

    def classify_opens(self) -> None:
        """The dock on an empty viewer."""
        self.classify = self.open("Classify")
        self.rest()

    def sample_opens(self) -> None:
        """The button *Open the sample*, until it is read."""
        self.classify.image_form.sample_button.native.click()
        self.until(lambda: self.classify.image_form.image is not None)
        self.rest(0.5)

    def model_gets_ready(self) -> None:
        """Torch or OpenVINO is loaded, a few tiles are timed."""
        self.until(lambda: "about" in self.classify.estimate.said)

    def map_fills(self) -> None:
        """The main button, until the map is finished."""
        self.classify.run_form.button.native.click()
        self.until(lambda: not self.classify.busy)

    def after_the_map(self) -> None:
        """The legend, the layers, the table."""
        self.rest(2.0)

    def measure_opens(self) -> None:
        """The page of fractions."""
        self.measure = self.open("Measure")
        self.until(lambda: bool(self.measure.fields))
        self.rest()

    def cells_are_reviewed(self) -> None:
        """Eight answers by key."""
        from napari_sem_classify.plugin.measure.widget import REVIEW

        self.measure.tabs.setCurrentIndex(REVIEW)
        self.measure.review_form.cells.value = 8
        self.measure.review_form.start.native.click()
        for _ in range(8):
            self.rest(0.2)
            self.key("1")
        self.rest(0.5)

    def regions_are_shown(self) -> None:
        """The page of regions."""
        from napari_sem_classify.plugin.measure.widget import REGIONS

        self.measure.tabs.setCurrentIndex(REGIONS)
        self.rest(2.0)

    def figure_is_written(self) -> None:
        """A figure in a file."""
        from napari_sem_classify.core.export.kinds import kind_named

        path = self.folder / "figure.png"
        self.measure.export_form.write(kind_named("figure"), path)
        self.until(path.exists)
        self.rest(0.5)

    def teach_opens(self) -> None:
        """The dock, and its layer of annotations."""
        self.teach = self.open("Teach")
        self.until(lambda: self.teach.teacher.key is not None)
        self.rest()

    def tiles_are_painted(self) -> None:
        """Three classes, a tile of each; then more, a map after each."""
        for name in CLASSES:
            self.teach.class_table.add_class(name, edit=False)
            self.rest(0.15)
        for at in range(4):
            for number in range(len(CLASSES)):
                self.paint(number, at)
        self.until(self._taught)

    def map_is_corrected(self) -> None:
        """More strokes on a map that is there."""
        for at in range(4, 8):
            for number in range(len(CLASSES)):
                self.paint(number, at)
        self.rest(0.5)
        self.until(self._taught)

    def next_tile_is_suggested(self) -> None:
        """*Suggest next*."""
        self.teach.guide.button.native.click()
        self.until(lambda: self.teach.guide.tour.active)
        self.rest(0.5)
        self.teach.guide.stop()

    def model_is_saved(self) -> None:
        """A model in a file."""
        path = self.folder / "walk.safetensors"
        self.teach.keep_form.save_model(path)
        self.until(lambda: path.exists() and not self.teach.keep_form.saving)
        self.rest(0.5)

    def fine_tune_opens(self) -> None:
        """The settings of a training."""
        self.open("Fine-tune")
        self.rest(2.0)

    def tiles_are_laid(self) -> None:
        """The dock of tiles, with its grid."""
        tile = self.open("Tile image")
        self.rest()
        tile.grid_form.show.value = True
        self.rest()

    def batch_opens(self) -> None:
        """The dock of many images."""
        self.open("Batch")
        self.rest(2.0)

    def another_image_opens(self) -> None:
        """A file beside the first image, and back to that."""
        import tifffile

        path = self.folder / "second.tif"
        tifffile.imwrite(path, np.asarray(self.viewer.layers[0].data)[::-1])
        first = self.classify.image_form.layer
        self.viewer.open(str(path), plugin="napari-sem-classify")
        self.rest(2.0)
        self.viewer.layers.selection.active = first
        self.rest()

    def key(self, text: str) -> None:
        """Press a key over the image."""
        from qtpy.QtTest import QTest

        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, text)

    def paint(self, number: int, at: int) -> None:
        """One brush stroke on a tile of a class, as the sample's truth has it."""
        if not hasattr(self, "_tiles"):
            self._tiles = self._tiles_of_classes()
        layer = self.teach.teacher.painting.layer
        layer.selected_label = number + 1
        layer.paint(self._tiles[number][at], number + 1)
        self.rest(0.15)

    def _tiles_of_classes(self) -> list[list[tuple[int, int]]]:
        """Tiles wholly of a class, spread over the image."""
        [truth] = [layer for layer in self.viewer.layers if layer.name.endswith("truth")]
        names = list(truth.features["class"])
        grid, labels = self.teach.teacher.grid, np.asarray(truth.data)
        found: list[list[tuple[int, int]]] = [[] for _ in CLASSES]
        for row, top in enumerate(grid.row_starts()):
            for col, left in enumerate(grid.col_starts()):
                window = labels[top : top + grid.tile, left : left + grid.tile]
                if (window == window[0, 0]).all() and names[window[0, 0]] in CLASSES:
                    found[CLASSES.index(names[window[0, 0]])].append((row, col))
        return [tiles[:: max(1, len(tiles) // 8)] for tiles in found]

    def _taught(self) -> bool:
        learner = self.teach.teacher.learner
        return learner.learned is not None and not learner.out_of_date and not learner.busy


class BareWalk(Walk):
    """The same kinds of layers in napari alone."""

    def image_shown(self) -> None:
        """A picture as large as the sample."""
        pixels = np.random.default_rng(0).integers(0, 255, (1536, 2048), dtype=np.uint8)
        self.viewer.add_image(pixels, name="picture", scale=(25, 25))
        self.rest()

    def scale_bar_shown(self) -> None:
        """napari's scale bar."""
        self.viewer.canvas.overlays.scale_bar.visible = True
        self.rest()

    def labels_shown(self) -> None:
        """Cells as large as those of the map."""
        cells = np.arange(22 * 32).reshape(22, 32) % 5
        self.viewer.add_labels(cells, scale=(1600, 1600), name="cells")
        self.rest()

    def labels_painted(self) -> None:
        """Strokes of napari's brush."""
        for col in range(10):
            self.viewer.layers["cells"].paint((4, col), 3)
        self.rest()

    def outline_shown(self) -> None:
        """One rectangle of a shapes layer."""
        corners = np.array([[0, 0], [0, 64], [64, 64], [64, 0]])
        self.viewer.add_shapes([corners], edge_width=2, scale=(25, 25))
        self.rest()

    def layer_taken_out(self) -> None:
        """The rectangle goes."""
        self.viewer.layers.pop()
        self.rest()


BARE_STEPS = (
    BareWalk.image_shown,
    BareWalk.scale_bar_shown,
    BareWalk.labels_shown,
    BareWalk.labels_painted,
    BareWalk.outline_shown,
    BareWalk.layer_taken_out,
)
STEPS = (
    Walk.classify_opens,
    Walk.sample_opens,
    Walk.model_gets_ready,
    Walk.map_fills,
    Walk.after_the_map,
    Walk.measure_opens,
    Walk.cells_are_reviewed,
    Walk.regions_are_shown,
    Walk.figure_is_written,
    Walk.teach_opens,
    Walk.tiles_are_painted,
    Walk.map_is_corrected,
    Walk.next_tile_is_suggested,
    Walk.model_is_saved,
    Walk.fine_tune_opens,
    Walk.tiles_are_laid,
    Walk.batch_opens,
    Walk.another_image_opens,
)
