"""napari finds the plugin, and neither finding it nor opening an empty widget loads torch."""

from __future__ import annotations

import subprocess
import sys

from npe2 import PluginManifest

HEAVY = ("torch", "torchvision", "fastai", "openvino", "sklearn", "matplotlib", "zarr")


def test_the_manifest_is_valid_and_each_command_can_be_imported():
    manifest = PluginManifest.from_distribution("napari-sem-classify")
    manifest.validate_imports()
    assert manifest.display_name == "SEM classify"
    widgets = {widget.display_name for widget in manifest.contributions.widgets}
    assert {"Classify", "Tile image"} <= widgets
    in_menu = {item.command for item in manifest.contributions.menus["napari/layers/classify"]}
    assert {"napari-sem-classify.classify", "napari-sem-classify.tile"} <= in_menu


def test_an_empty_widget_loads_nothing_heavy():
    script = f"""
import sys
import napari
viewer = napari.Viewer(show=False)
before = set(sys.modules)
for name in ("Classify", "Tile image"):
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


def test_every_control_has_a_name_and_a_tooltip(open_widget, real_viewer):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget

    for name in ("Classify", "Tile image"):
        widget = open_widget(name)
        kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget)
        for kind in kinds:
            for control in widget.findChildren(kind):
                if control.objectName().startswith("qt_") or _is_inner(control, kinds):
                    continue
                assert control.accessibleName(), (name, control)
                assert control.toolTip(), (name, control.accessibleName())


def _is_inner(control, kinds):
    """A part of a control, such as the corner button of a table."""
    parent = control.parent()
    return isinstance(parent, kinds) or "Table" in type(parent).__name__


def test_the_widgets_fit_340_pixels(open_widget):
    for name in ("Classify", "Tile image"):
        assert open_widget(name).minimumSizeHint().width() <= 340
