"""Make `docs/measure-*.png`: the walk of `docs/measure.md`, driven in a real viewer.

Run with ``xvfb-run -a -s "-screen 0 1600x1100x24" python docs/make_measure_pictures.py``. The image
is the generated sample, classified by the model that comes with the program; its truth plays the
reviewer.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from make_teach_pictures import HEIGHT_PX, PLUGIN, SAMPLE, WIDTH_PX, shoot, wait

CELLS, BEFORE_PICTURE = 150, 11
CRACK = 0.02
"""A cell with so much crack in it is one: the rule by which the model was taught."""


def main() -> None:
    """Classify the sample, review some cells of the map, and see what that gives."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "data"
        # Reviews, models and caches of the user stay out of the pictures.
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            os.environ[name] = str(folder)
        _drive()
        shutil.rmtree(folder, ignore_errors=True)


def _drive() -> None:
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(WIDTH_PX, HEIGHT_PX)
    viewer.open_sample(PLUGIN, SAMPLE)
    truth = np.asarray(viewer.layers[1].data)
    names = list(viewer.layers[1].features["class"])
    viewer.layers.remove(viewer.layers[1])
    viewer.layers.selection.active = viewer.layers[0]
    classify = viewer.window.add_plugin_dock_widget(PLUGIN, "Classify")[1].opened
    wait(lambda: classify.image_form.image is not None)
    classify.run_form.button.native.click()
    wait(lambda: not classify.busy)

    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")[1].opened
    wait(lambda: bool(widget.fields))
    wait(lambda: widget.fraction_form.spread.isVisible(), 60)
    viewer.reset_view()
    shoot(viewer, "1-raw", "measure")

    form, said = widget.review_form, _cells_of(truth, names, widget.fields[0].class_map)
    widget.tabs.setCurrentIndex(1)
    form.cells.value = CELLS
    form.start.native.click()
    _answer(widget, said, BEFORE_PICTURE)
    shoot(viewer, "2-review", "measure")

    _answer(widget, said, CELLS)
    form.show_result.native.click()
    shoot(viewer, "3-corrected", "measure")
    _compare(widget, said)
    viewer.close()


def _answer(widget: Any, said: Any, count: int) -> None:
    """Answer the next cells as the truth has them."""
    reviewer = widget.reviewer
    while reviewer.cell is not None and count:
        reviewer.answer(int(said[reviewer.cell.row, reviewer.cell.col]))
        count -= 1
        wait(lambda: False, 0.01)


def _cells_of(truth: Any, names: list[str], class_map: Any) -> Any:
    """Class number of every cell: crack where it holds a little of it, else what covers most."""
    known = [info.name for info in class_map.classes]
    said = np.zeros(class_map.grid.shape, int)
    for row, col in np.ndindex(said.shape):
        place = class_map.grid.cell(row, col)
        part = truth[place.top : place.bottom, place.left : place.right]
        shares = [float((part == names.index(name)).mean()) for name in known]
        crack = shares[known.index("crack")] >= CRACK
        said[row, col] = known.index("crack") + 1 if crack else int(np.argmax(shares)) + 1
    return said


def _compare(widget: Any, said: Any) -> None:
    """Tell how near the fractions come to what the reviewer would say of all cells."""
    class_map = widget.fields[0].class_map
    areas = class_map.grid.cell_areas()
    estimate = widget.reviewer.corrected().estimate
    for k, row in enumerate(class_map.fractions()):
        true = areas[said == k + 1].sum() / areas.sum()
        share = estimate.corrected[k]
        print(
            f"{row.name}: truth {100 * true:.1f}, map {100 * row.fraction:.1f}, corrected "
            f"{100 * share.value:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f}) %"
        )


if __name__ == "__main__":
    main()
