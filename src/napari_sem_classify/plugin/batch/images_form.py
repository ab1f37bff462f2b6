"""What a batch works on: folders, files, and images that are open in the viewer."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QWidget,
)

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.batch.plan_form import images_text
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain
from napari_sem_classify.plugin.layers.layer_image import image_from_layer
from napari_sem_classify.plugin.layers.made_layers import pictures_in

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

EMPTY = (
    "Add a folder of images, some files, or the images that are open in the viewer. All are "
    "classified with one model; bad files do not stop the others."
)
PATTERN = "Images (*.tif *.tiff *.btf *.png *.jpg *.jpeg *.bmp *.dm3 *.dm4);;All files (*)"
MOST_ROWS = 5


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One line of the list: a path, or a layer that may be gone by now."""

    path: Path | None = None
    layer: weakref.ref[Image] | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of images; a zarr is an image."""
        path = self.path
        return path is not None and path.is_dir() and not path.name.endswith(".zarr")

    @property
    def open_layer(self) -> Image | None:
        """The layer while it is there."""
        return None if self.layer is None else self.layer()


class ImagesForm:
    """List of folders, files and layers."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, session: Session, form: Form, owner: QWidget) -> None:
        self._viewer = viewer
        self._session = session
        self._owner = owner
        self._sources: list[ListedImage] = []
        self.empty = Note("What to do first")
        self.folder = button(
            "Folder…", "Add all images that lie directly in a folder", "Add a folder"
        )
        self.files = button("Files…", "Add image files", "Add files")
        self.open_images = button(
            "Images in the viewer",
            "Add the images that are open in the viewer, with the scale and area set there",
            "Add the images in the viewer",
        )
        self.list = QListWidget()
        explain(
            self.list, "Images of the batch", "Folders, files and open images; Delete takes one out"
        )
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.remove = button("Take out", "Take the selected lines out of the list [Delete]")
        self.count = Note("Images found")
        self.problem = Note("Problem with the images")
        form.row("Add", self.folder, self.files)
        form.row("", self.open_images)
        form.wide(self.empty, self.list)
        self._remove_row = form.row("Found", self.count, self.remove)
        form.wide(self.problem)
        self.folder.changed.connect(self._choose_folder)
        self.files.changed.connect(self._choose_files)
        self.open_images.changed.connect(self.add_open_images)
        self.remove.changed.connect(self.take_out)
        shortcut = QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.list)
        shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
        shortcut.activated.connect(self.take_out)
        events = viewer.layers.events
        for event in (events.inserted, events.removed):
            event.connect(self._on_layers)
        self._on_layers()
        self._show()

    @property
    def paths(self) -> list[str]:
        """Files and folders."""
        return [str(each.path) for each in self._sources if each.path is not None]

    @property
    def first_folder(self) -> Path | None:
        """The folder of the first file or folder, for a place to write to."""
        for each in self._sources:
            if each.path is not None:
                return each.path if each.is_folder else each.path.parent
        return None

    def __len__(self) -> int:
        """Lines in the list."""
        return len(self._sources)

    def open_now(self) -> list[SemImage]:
        """The layers of the list as images, with the user's corrections."""
        found = []
        for each in self._sources:
            layer = each.open_layer
            if layer is not None:
                known = self._session.images.get(layer)
                found.append(image_from_layer(layer) if known is None else known)
        return found

    def add(self, paths: Sequence[Path | str]) -> None:
        """Add files and folders."""
        known = set(self.paths)
        new = [path for path in (Path(each) for each in paths) if str(path) not in known]
        self._list([*self._sources, *(ListedImage(path=path) for path in dict.fromkeys(new))])

    def add_open_images(self) -> None:
        """Add every image layer that is not a result of this plugin."""
        known = {id(each.open_layer) for each in self._sources}
        new = [each for each in pictures_in(self._viewer) if id(each) not in known]
        self._list([*self._sources, *(ListedImage(layer=weakref.ref(layer)) for layer in new)])

    def take_out(self) -> None:
        """Take the selected lines out; all of them where none is selected."""
        chosen = {index.row() for index in self.list.selectedIndexes()}
        left = [each for at, each in enumerate(self._sources) if at not in chosen]
        self._list(left if chosen else [])

    def allow(self, free: bool) -> None:
        """Let the user change the list, or not while a batch runs."""
        for control in (self.folder, self.files, self.remove):
            control.enabled = free
        self.open_images.enabled = free and bool(pictures_in(self._viewer))
        self.list.setEnabled(free)

    def tell_count(self, images: int | None) -> None:
        """Show how many images were found, None while nobody knows."""
        self.count.say("" if images is None else images_text(images))

    def _on_layers(self, _event: Any = None) -> None:
        layers = list(self._viewer.layers)
        self.open_images.enabled = bool(pictures_in(self._viewer))
        left = [each for each in self._sources if each.path or each.open_layer in layers]
        if len(left) < len(self._sources):
            self._list(left)

    def _list(self, sources: list[ListedImage]) -> None:
        self._sources = sources
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        self.empty.say("" if self._sources else EMPTY)
        self.problem.say("")
        self.list.clear()
        for each in self._sources:
            if each.path is not None:
                text = f"{each.path.name}/" if each.is_folder else each.path.name
                tooltip = str(each.path)
            else:
                layer = each.open_layer
                text = "" if layer is None else f"{layer.name} (open image)"
                tooltip = "An image that is open in the viewer"
            item = QListWidgetItem(text)
            item.setToolTip(as_it_is(tooltip))
            self.list.addItem(item)
        there = bool(self._sources)
        self.list.setVisible(there)
        self._remove_row.setVisible(there)
        if there:
            rows = min(len(self._sources), MOST_ROWS)
            height = rows * max(self.list.sizeHintForRow(0), 1) + 2 * self.list.frameWidth() + 2
            self.list.setFixedHeight(height)
            self.list.setMinimumSize(QSize(0, height))

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._owner, "Folder with images")
        if folder:
            self.add([folder])

    def _choose_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._owner, "Images", "", PATTERN)
        if paths:
            self.add(paths)
