"""The classes' names and colours on the canvas, for the class map on top, beside the specimen."""

from __future__ import annotations

import contextlib
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.plugin.app.session import helper_of, unwrapped
from napari_sem_classify.plugin.app.turns import later
from napari_sem_classify.plugin.layers.free_place import legend_place
from napari_sem_classify.plugin.layers.layer_image import METADATA_KEY
from napari_sem_classify.plugin.layers.made_layers import CLASSES, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_PREFIX = "sem_classify_legend_"
DARK_BOX, LIGHT_BOX = (0.1, 0.1, 0.1, 0.95), (0.95, 0.95, 0.95, 0.95)
FONT_SIZE = 10
MOST_ENTRIES = 12
REST_COLOUR = "#ffffff"

Entry = tuple[str, str]


class Legend:
    """Follows the layers of a viewer and shows the classes of the topmost visible class map."""

    def __init__(self, viewer: ViewerModel) -> None:
        # The session that keeps this object must not keep the viewer alive.
        self._viewer_ref = weakref.ref(viewer)
        self._shown: list[Entry] = []
        self._position = ""
        for event in ("inserted", "removed", "reordered"):
            getattr(viewer.layers.events, event).connect(self._on_layers)
        self._on_layers()

    def _on_layers(self, _event: Any = None) -> None:
        viewer = self._viewer_ref()
        if viewer is None:
            return
        for layer in viewer.layers:
            if kind_of(layer) == CLASSES:
                # napari ignores a method that is connected already.
                layer.events.visible.connect(self.update)
        self.update()

    @property
    def complete(self) -> bool:
        """Whether all classes are on the canvas by now."""
        viewer = self._viewer_ref()
        canvas = getattr(viewer, "canvas", None)
        if canvas is None:
            return True
        mine = [key for key in canvas.overlays if key.startswith(_PREFIX)]
        return len(mine) == len(self._shown)

    def update(self, _event: Any = None) -> None:
        """Show what the topmost visible class map needs, or nothing."""
        viewer = self._viewer_ref()
        if viewer is None:
            return
        layer = _topmost(viewer)
        entries = [] if layer is None else _entries(layer)
        if entries != self._shown:
            self._shown = entries
            self._show(viewer, entries)

    def _show(self, viewer: ViewerModel, entries: list[Entry]) -> None:
        canvas = getattr(viewer, "canvas", None)
        if canvas is None:  # napari before 0.9 has one text overlay, of one colour
            viewer.text_overlay.text = "\n".join(f"■ {name}" for name, _ in entries)
            viewer.text_overlay.visible = bool(entries)
            return
        for key in [key for key in canvas.overlays if key.startswith(_PREFIX)]:
            with contextlib.suppress(KeyError):
                del canvas.overlays[key]
        if entries:
            self._position = legend_place(viewer, [name for name, _ in entries], FONT_SIZE)
        self._add_later(entries, 0)

    def _add_later(self, entries: list[Entry], number: int) -> None:
        # Letters that were not drawn before take the canvas some time.
        if number < len(entries):
            later(partial(self._add, entries, number))

    def _add(self, entries: list[Entry], number: int) -> None:
        from napari.components.overlays import TextOverlay

        viewer = self._viewer_ref()
        if viewer is None or entries is not self._shown:
            return
        name, colour = entries[number]
        viewer.canvas.overlays[f"{_PREFIX}{number}"] = TextOverlay(
            text=f"■ {name}",
            color=colour,
            font_size=FONT_SIZE,
            position=self._position,
            box=True,
            box_color=box_for(colour),
            visible=True,
        )
        self._add_later(entries, number + 1)


def legend_of(viewer: ViewerModel) -> Legend:
    """The viewer's legend, made on first use."""
    return helper_of(viewer, Legend, unwrapped(viewer))


def box_for(colour: str) -> tuple[float, float, float, float]:
    """The box on which a colour reads best, whatever theme and picture lie under it."""
    light, dark = relative_luminance(LIGHT_BOX[:3]), relative_luminance(DARK_BOX[:3])
    mine = relative_luminance(rgb_of(colour))
    # Contrast of WCAG 2.1: (lighter + .05) / (darker + .05).
    return LIGHT_BOX if (light + 0.05) / (mine + 0.05) > (mine + 0.05) / (dark + 0.05) else DARK_BOX


def rgb_of(colour: str) -> tuple[float, ...]:
    """Red, green and blue of ``#rrggbb``, 0 to 1."""
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def relative_luminance(rgb: tuple[float, ...]) -> float:
    """Relative luminance of WCAG 2.1, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _topmost(viewer: ViewerModel) -> Layer | None:
    for layer in reversed(viewer.layers):
        if layer.visible and kind_of(layer) == CLASSES:
            return layer
    return None


def _entries(layer: Layer) -> list[Entry]:
    classes = layer.metadata[METADATA_KEY].get("classes", [])
    infos = [ClassInfo(each["name"], each["colour"], each.get("contains")) for each in classes]
    entries = [(info.title, info.colour) for info in infos]
    rest = len(entries) - MOST_ENTRIES
    return entries if rest <= 1 else [*entries[:MOST_ENTRIES], (f"and {rest} more", REST_COLOUR)]
