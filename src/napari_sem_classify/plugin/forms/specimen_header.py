"""The top of every dock that works on an image: which one, its scale, its bar, the tiles on it.

Folded to the image and its size when all is well, open while something is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_sem_classify.plugin.forms.advanced_fold import FoldButton
from napari_sem_classify.plugin.forms.image_form import ImageForm
from napari_sem_classify.plugin.forms.layout import Form

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class SpecimenHeader(Form):
    """The form of the image; a dock adds its own row of tiles to `body`.

    Attributes
    ----------
    image_form : ImageForm
    body : Form
        What is folded away.
    """

    def __init__(self, viewer: ViewerModel, owner: QWidget) -> None:
        super().__init__()
        self._opened_for: Image | None = None
        self.body = Form(margin=0)
        self.fold = FoldButton("", "More of the image", "Scale, info bar and tiles of this image")
        self.image_form = ImageForm(viewer, self, owner, self.body)
        self._place_fold()
        self.wide(self.body)
        self.stretch()
        self.fold.turned.connect(self._arrange)
        self.image_form.changed.connect(self._on_image)
        self._on_image()

    @property
    def open(self) -> bool:
        """Whether all rows are shown."""
        return self.fold.open

    @open.setter
    def open(self, on: bool) -> None:
        self.fold.turn(on)

    def _place_fold(self) -> None:
        row = self.image_form.combo.native.parentWidget()
        line = None if row is None else row.layout()
        assert isinstance(line, QHBoxLayout)
        line.insertWidget(0, self.fold)

    def _on_image(self) -> None:
        """Fold or open for another image; what the user chose stays for as long as it is there."""
        layer, image = self.image_form.layer, self.image_form.image
        if image is not None and layer is not self._opened_for:
            self._opened_for = layer
            self.open = image.pixel_size_nm is None
        self._arrange()

    def _arrange(self, _on: bool = False) -> None:
        self.body.setVisible(self.open and self.image_form.layer is not None)
