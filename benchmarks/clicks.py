"""How many clicks and seconds three tasks take from an empty viewer, done with mouse and keys.

    python -m benchmarks.clicks [--vendor FILE]

The tasks: a map of the sample; a taught model on a maker's TIFF; a figure in a file. Counted are
presses of a mouse button, choices in a menu or a list, and typed words; what the program does by
itself, and waiting, is not. A brush stroke is one press. The seconds are those of this computer
while nobody hesitates: waiting for the program alone. ``BEFORE`` holds the counts of the program
before it had four docks, read off its guides (README, docs/teach.md, docs/measure.md) step by step.
A display is needed (``xvfb-run -a`` without).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.walk import Walk

CLASSES = ("dark", "bright")
STROKES = 3  # a class: the fewest from which a map and a score come

BEFORE: dict[str, list[str]] = {
    "a map of the sample": [
        "menu Plugins",
        "SEM classify",
        "Classify",
        "Open the sample",
        "Classify (the button)",
    ],
    "a taught model on a vendor TIFF": [
        "menu Plugins",
        "SEM classify",
        "Teach",
        "drop the file on the window",
        "+ class",
        "its name",
        "+ class",
        "its name",
        "first class",
        *["stroke"] * STROKES,
        "second class",
        *["stroke"] * STROKES,
        "Save model",
        "folder of the models",
        "its name",
        "Save",
    ],
    "a figure in a file": [
        "menu Plugins",
        "SEM classify",
        "Classify",
        "Open the sample",
        "Classify (the button)",
        "menu Plugins",
        "SEM classify",
        "Measure",
        "Export",
        "Figure",
        "Save (the name is there)",
    ],
}


class Hand(Walk):
    """Does the tasks as a user does, and notes what was pressed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pressed: list[str] = []

    def click(self, button: Any, what: str) -> None:
        """Press a button with the mouse, where it can be pressed."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        native = getattr(button, "native", button)
        self.until(lambda: native.isEnabled() and native.isVisible())
        QTest.mouseClick(native, Qt.MouseButton.LeftButton)
        self.pressed.append(what)

    def menu(self, entry: str) -> Any:
        """Choose an entry of the plugin's menu: menu, plugin, entry."""
        self.pressed += ["menu Plugins", "SEM classify", entry]
        return self.open(entry)

    def map_of_the_sample(self) -> None:
        """From the menu to a finished map."""
        self.classify = self.menu("Classify")
        self.click(self.classify.try_sample.button, "Classify the sample")
        self.until(lambda: not self.classify.busy and bool(self._maps()))

    def figure_in_a_file(self) -> None:
        """The same, and a figure of it."""
        from napari_sem_classify.core.export.kinds import kind_named

        self.map_of_the_sample()
        tabs = self.classify.frame.tabs
        titles = [tabs.tabText(number) for number in range(tabs.count())]
        tabs.setCurrentIndex(titles.index("Export"))
        self.pressed.append("Export (the page)")
        path = self.folder / "figure.png"
        # The figure is what is chosen, and the dialog has its name.
        self.pressed += ["Write", "Save (the name is there)"]
        self.until(lambda: bool(self.classify.measure.fields))
        self.classify.measure.export_form.write(kind_named("figure"), path)
        self.until(path.exists)

    def taught_model(self, image: Path) -> None:
        """A model of two classes of an image, in a file."""
        self.teach = self.menu("Teach")
        self.pressed.append("drop the file on the window")
        self.viewer.open(str(image), plugin="napari-sem-classify")
        self.until(lambda: self.teach.teacher.key is not None)
        for name in CLASSES:
            self.teach.class_table.add_class(name, edit=False)
            self.pressed += ["+ class", "its name"]
        for number, name in enumerate(CLASSES):
            self.key(str(number + 1))
            self.pressed.append(f"class {name}")
            for at in range(STROKES):
                layer = self.teach.teacher.painting.layer
                row = 1 + at + number * STROKES
                layer.selected_label = number + 1
                layer.paint((row, row), number + 1)
                self.pressed.append("stroke")
                self.rest(0.1)
        self.until(self._taught)
        path = self.folder / "taught.safetensors"
        self.pressed += ["Save model", "its name", "Save"]
        self.teach.keep_form.save_model(path)
        self.until(lambda: path.exists() and not self.teach.keep_form.saving)

    def _maps(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.name.endswith("classes")]


def main() -> None:
    """Do one task in this process and print what it took; without ``--task`` all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vendor", type=Path, help="a maker's TIFF; the sample's where not given")
    parser.add_argument("--task", choices=list(BEFORE), help="that one alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            os.environ[name] = str(Path(made) / "home")
        for task in [options.task] if options.task else list(BEFORE):
            _one(task, Path(made), options.vendor)
    os._exit(0)


def _one(task: str, folder: Path, vendor: Path | None) -> None:
    hand = Hand(folder)
    hand.rest(1.0)
    ways: dict[str, Callable[[], None]] = {
        "a map of the sample": hand.map_of_the_sample,
        "a figure in a file": hand.figure_in_a_file,
        "a taught model on a vendor TIFF": lambda: hand.taught_model(vendor or _sample(folder)),
    }
    start = time.perf_counter()
    ways[task]()
    told = {
        "task": task,
        "before": len(BEFORE[task]),
        "now": len(hand.pressed),
        "seconds": round(time.perf_counter() - start, 1),
        "load": round(os.getloadavg()[0], 1),
        "pressed": hand.pressed,
    }
    print(json.dumps(told, ensure_ascii=False), flush=True)
    hand.viewer.close()


def _sample(folder: Path) -> Path:
    """The sample as a file, where no maker's is at hand."""
    import tifffile

    from napari_sem_classify.core.sample.cross_section import generate_cross_section

    path = folder / "sample.tif"
    tifffile.imwrite(path, generate_cross_section((768, 1024)).image)
    return path


if __name__ == "__main__":
    main()
