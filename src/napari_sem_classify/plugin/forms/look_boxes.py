"""Check boxes of how tiles are looked at, the same wherever a model is used."""

from __future__ import annotations

from magicgui import widgets

from napari_sem_classify.plugin.forms.layout import check_box


def fine_map_box() -> widgets.CheckBox:
    """Whether a fine map is made."""
    return check_box(
        "fine map, approximate",
        "As fine as the network allows, for little more time: it looks at large pieces of the "
        "image instead of single tiles. How far that agrees with single tiles is measured and told",
        "Fine map",
    )


def int8_box() -> widgets.CheckBox:
    """Whether 8-bit arithmetic is asked for."""
    return check_box(
        "8-bit arithmetic",
        "Faster on a CPU with OpenVINO. Longer runs take it by themselves; here you ask for it "
        "however few the tiles are. It is checked on some of your tiles first, and refused where "
        "too many change class",
    )
