"""The table of classes, and what can be done to them: name, colour, rule, merge, remove."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from psygnal import Signal
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QTableWidgetItem,
    QToolButton,
    QWidget,
)

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.model.card import OKABE_ITO, ClassInfo
from napari_sem_classify.plugin.app.text import count_text
from napari_sem_classify.plugin.forms.dock_table import EDITABLE, DockTable, square
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, pop_below
from napari_sem_classify.plugin.layers.annotation_layer import MAX_KEYS
from napari_sem_classify.plugin.teach.book import Book

RULES = (0.01, 0.02, 0.05, 0.10, 0.20, 0.40)
COLOUR_NAMES = ("orange", "sky blue", "green", "yellow", "blue", "vermilion", "purple", "grey")
NAME, KEY, TILES, RULE = range(4)


class ClassTable:
    """Shows and edits the classes of a `Book`."""

    chosen = Signal(int)
    """The number of the class to paint with, from 0."""

    def __init__(self, book: Book, form: Form, owner: QWidget) -> None:
        self._book = book
        self._owner = owner
        self.number = 0
        bar = QWidget()
        line = QHBoxLayout(bar)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        title = QLabel("Classes")
        line.addWidget(title, 1)
        self.add = _button("+", "Add a class", "Add a class, then write its name")
        self.more = _button("⋯", "More about the class", "Rename, colour, merge, rule, remove")
        self.undo = _button("↶", "Undo", "Take the last change of classes or tiles back (Ctrl+Z)")
        self.redo = _button("↷", "Redo", "Do again what was taken back (Ctrl+Shift+Z)")
        for button in (self.undo, self.redo, self.add, self.more):
            line.addWidget(button)
        self.table = _Table(title)
        self.problem = Note("Problem with the classes")
        form.wide(bar, self.table, self.problem)
        self.menu = QMenu(owner)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.more.clicked.connect(lambda: pop_below(self.menu, self.more))
        self.add.clicked.connect(lambda: self.add_class())
        self.undo.clicked.connect(book.undo)
        self.redo.clicked.connect(book.redo)
        self.table.itemChanged.connect(self._on_renamed)
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.show({})

    @property
    def current(self) -> ClassInfo | None:
        """The class to paint with."""
        classes = self._book.annotations.classes
        return classes[self.number] if self.number < len(classes) else None

    def show(self, counts: Mapping[str, int]) -> None:
        """Show the classes with their annotated tiles."""
        classes = self._book.annotations.classes
        self.number = min(self.number, max(0, len(classes) - 1))
        with QSignalBlocker(self.table):
            self.table.fill(classes, counts, self._book.annotations.rules, self.number)
        self.more.setEnabled(bool(classes))
        self.undo.setEnabled(self._book.can_undo)
        self.redo.setEnabled(self._book.can_redo)

    def choose(self, number: int) -> None:
        """Make a class the one to paint with, where there is one of that number (from 0)."""
        if number < len(self._book.annotations.classes):
            self.number = number
            with QSignalBlocker(self.table):
                self.table.selectRow(number)
            self.chosen.emit(number)

    def add_class(self, name: str = "", *, edit: bool = True) -> None:
        """Add a class; without a name it gets one that the user can write over at once."""
        names = self._book.annotations.class_names
        number = len(names) + 1
        while not name or (name in names and name == f"class {number - 1}"):
            name = f"class {number}"
            number += 1
        if self._edit(lambda annotations: annotations.with_class(name)):
            self.choose(len(self._book.annotations.classes) - 1)
            if edit:
                self.table.editItem(self.table.item(self.number, NAME))

    def _edit(self, change: Callable[[Annotations], Annotations]) -> bool:
        self.problem.say("")
        try:
            self._book.edit(change(self._book.annotations))
        except SemClassifyError as error:
            self.problem.fail(str(error))
            return False
        return True

    def _on_renamed(self, item: QTableWidgetItem) -> None:
        classes = self._book.annotations.classes
        if item.column() != NAME or item.row() >= len(classes):
            return
        old, new = classes[item.row()].name, item.text().strip()
        if not self._edit(lambda annotations: annotations.renamed(old, new)):
            with QSignalBlocker(self.table):
                item.setText(old)

    def _on_selected(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        if rows:
            self.number = rows[0].row()
            self.chosen.emit(self.number)

    # ------------------------------------------------------------------ menu

    def _fill_menu(self) -> None:
        self.menu.clear()
        info = self.current
        if info is None:
            return
        name = info.name
        self.menu.addSection(name)
        rename = self.menu.addAction("Rename")
        rename.triggered.connect(lambda: self.table.editItem(self.table.item(self.number, NAME)))
        colours = self.menu.addMenu("Colour")
        for title, colour in zip(COLOUR_NAMES, OKABE_ITO, strict=True):
            action = colours.addAction(square(colour, 16), title)
            action.triggered.connect(lambda _=False, c=colour: self.recolour(name, c))
        colours.addAction("Other…").triggered.connect(lambda: self._pick_colour(info))
        rules = self.menu.addMenu("Tiles from a layer take it where")
        for share in (None, *RULES):
            contains = "it covers most of the tile"
            if share is not None:
                contains = f"the tile contains at least {100 * share:.0f} % of it"
            action = rules.addAction(contains)
            action.setCheckable(True)
            action.setChecked(share == self._book.annotations.rules.get(name))
            action.triggered.connect(
                lambda _=False, s=share: self._edit(lambda a: a.with_rule(name, s))
            )
        into = self.menu.addMenu("Merge into")
        for other in self._book.annotations.classes:
            if other.name != name:
                action = into.addAction(square(other.colour, 16), other.name)
                action.triggered.connect(
                    lambda _=False, o=other.name: self._edit(lambda a: a.merged(name, o))
                )
        into.setEnabled(len(self._book.annotations.classes) > 1)
        self.menu.addSeparator()
        remove = self.menu.addAction("Remove, with its tiles")
        remove.triggered.connect(lambda: self._edit(lambda a: a.without_class(name)))

    def recolour(self, name: str, colour: str) -> None:
        """Give a class another colour."""
        self._edit(lambda annotations: annotations.recoloured(name, colour.lower()))

    def _pick_colour(self, info: ClassInfo) -> None:
        dialog = QColorDialog(QColor(info.colour), self._owner)
        dialog.setModal(False)  # beside the window, not in its way
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(lambda colour: self.recolour(info.name, colour.name()))
        dialog.show()


class _Table(DockTable):
    """A row per class."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(
            label,
            "Classes",
            "Classes to teach: click one to paint its tiles, or press its key",
            ["Class", "Key", "Tiles", "Rule"],
        )
        self.tell_headers(
            {
                NAME: "Double-click to rename",
                KEY: "Press this key on the image",
                TILES: "Annotated tiles",
                RULE: "When a tile of another layer takes the class",
            }
        )
        self.setEditTriggers(EDITABLE)
        self.setTabKeyNavigation(False)
        self.stretch(NAME, QHeaderView.ResizeMode.ResizeToContents)

    def fill(
        self,
        classes: tuple[ClassInfo, ...],
        counts: Mapping[str, int],
        rules: Mapping[str, float],
        chosen: int,
    ) -> None:
        side = self.adopt_font()
        self.setVisible(bool(classes))
        self.setRowCount(len(classes))
        self.setColumnHidden(RULE, not any(info.name in rules for info in classes))
        for row, info in enumerate(classes):
            share = rules.get(info.name)
            texts = (
                info.name,
                str(row + 1) if row < MAX_KEYS else "",
                count_text(counts.get(info.name, 0)),
                "" if share is None else f"≥ {100 * share:.0f} % of tile",
            )
            for column, text in enumerate(texts):
                item = self.put(row, column, text, text)
                if column == NAME:
                    self.put_colour(item, info.colour, side)
                else:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        if classes:
            self.selectRow(chosen)
        self.fit()


def _button(text: str, name: str, tooltip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setAutoRaise(True)
    explain(button, name, tooltip)
    return button
