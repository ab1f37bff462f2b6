"""napari finds the plugin, and neither finding it nor opening an empty widget loads torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from npe2 import PluginManifest

WIDGETS = ("Classify", "Tile image", "Teach", "Measure", "Fine-tune", "Batch")
HEAVY = ("torch", "torchvision", "fastai", "openvino", "sklearn", "matplotlib", "zarr")


def test_the_manifest_is_valid_and_each_command_can_be_imported():
    manifest = PluginManifest.from_distribution("napari-sem-classify")
    manifest.validate_imports()
    assert manifest.display_name == "SEM classify"
    widgets = {widget.display_name for widget in manifest.contributions.widgets}
    assert set(WIDGETS) <= widgets
    in_menu = {item.command for item in manifest.contributions.menus["napari/layers/classify"]}
    assert {"napari-sem-classify.classify", "napari-sem-classify.tile"} <= in_menu


def test_an_empty_widget_loads_nothing_heavy():
    script = f"""
import sys
import napari
viewer = napari.Viewer(show=False)
before = set(sys.modules)
for name in {WIDGETS!r}:
    viewer.window.add_plugin_dock_widget("napari-sem-classify", name)
loaded = [name for name in {HEAVY!r} if name in set(sys.modules) - before]
viewer.close()
assert "torch" not in sys.modules, "torch"
assert not loaded, loaded
print("nothing heavy")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "nothing heavy" in done.stdout


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_has_a_name_and_a_tooltip(open_widget, name):
    widget = open_widget(name)
    for control in controls_of(widget):
        assert control.accessibleName(), control
        assert control.toolTip(), control.accessibleName()


def controls_of(widget):
    from qtpy.QtWidgets import (
        QAbstractButton,
        QAbstractItemView,
        QAbstractSlider,
        QAbstractSpinBox,
        QComboBox,
        QLineEdit,
        QScrollBar,
        QTabBar,
    )

    kinds = (
        QAbstractButton,
        QAbstractItemView,
        QAbstractSlider,
        QAbstractSpinBox,
        QComboBox,
        QLineEdit,
    )
    for kind in kinds:
        for control in widget.findChildren(kind):
            if isinstance(control, QScrollBar) or control.objectName().startswith("qt_"):
                continue
            if not _is_inner(control, widget, (*kinds, QTabBar)):
                yield control


def _is_inner(control, widget, kinds):
    """A part of a control: the arrows of tabs, the list of a combo box, the corner of a table."""
    parent = control.parent()
    while parent is not None and parent is not widget:
        if isinstance(parent, kinds):
            return True
        parent = parent.parent()
    return False


@pytest.mark.parametrize("name", WIDGETS)
def test_the_widgets_fit_340_pixels(open_widget, name):
    assert open_widget(name).minimumSizeHint().width() <= 340
