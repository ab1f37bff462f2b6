"""A row for mosaics: whether grey values are stretched frame by frame, and how large a frame is."""

from __future__ import annotations

import re

from magicgui import widgets
from psygnal import Signal

from napari_sem_classify.core.image.intensity import FRAME_PX, OVER, IntensityRecipe
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow

WAYS = (("as one image", "image"), ("by frame", "frames"), ("locally", "local"))
FOUND = "found"
_SIZE = re.compile(r"\s*(\d{1,7})\s*[x×]\s*(\d{1,7})\s*")


class MosaicRow:
    """Over what grey values are stretched; the size of a frame is found unless it is typed in."""

    changed = Signal()

    def __init__(self, form: Form) -> None:
        self.combo = narrow(widgets.ComboBox(choices=list(WAYS), value="image"), least=5)
        explain(
            self.combo,
            "Stretch of grey values",
            "For a mosaic whose frames differ in exposure: each frame over its own range, or "
            "smoothly over the range of what is around",
        )
        self.size = widgets.LineEdit(value="")
        self.size.native.setMinimumWidth(0)
        self.size.native.setPlaceholderText(FOUND)
        explain(
            self.size,
            "Size of a frame in pixels",
            "Rows × columns of a frame, such as 768 x 1024; empty: they are found in the picture",
        )
        form.row("Mosaic", self.combo, self.size)
        self.problem = Note("Problem with the size of a frame")
        form.wide(self.problem)
        self.combo.changed.connect(self._on_change)
        self.size.native.editingFinished.connect(self._on_change)
        self.show(IntensityRecipe())

    @property
    def over(self) -> IntensityRecipe:
        """What is chosen; a size that is none counts as found in the picture."""
        over = next(each for each in OVER if each == self.combo.value)
        return IntensityRecipe(over=over, frame_px=self._frame_px() if over == "frames" else None)

    def show(self, recipe: IntensityRecipe, enabled: bool = True) -> None:
        """Show what is used, without saying that the user changed it."""
        with self.combo.changed.blocked():
            self.combo.value = recipe.over
        self.combo.enabled = enabled
        self.size.enabled = enabled and recipe.over == "frames"
        if recipe.frame_px is not None and recipe.frame_px != self._frame_px():
            self.size.value = " x ".join(map(str, recipe.frame_px))

    def _frame_px(self) -> tuple[int, int] | None:
        found = _SIZE.fullmatch(str(self.size.value))
        size = None if found is None else (int(found[1]), int(found[2]))
        low, high = FRAME_PX
        return size if size is not None and all(low <= side <= high for side in size) else None

    def _on_change(self) -> None:
        typed = str(self.size.value).strip()
        wrong = bool(typed) and self._frame_px() is None
        if wrong:
            self.problem.fail(f"{typed!r} is no size of a frame: type rows x columns, 768 x 1024.")
        else:
            self.problem.say("")
        self.size.enabled = self.combo.enabled and self.combo.value == "frames"
        if not wrong:
            self.changed.emit()
