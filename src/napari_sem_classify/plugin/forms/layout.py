"""Rows of controls in one narrow column: label left, control right, notes across.

Controls are magicgui widgets; the rows are laid out with Qt so that labels of several sections line
up and long notes wrap instead of widening the dock.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, TypeVar

from magicgui import widgets
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QWidget,
)

from napari_sem_classify.core.common.plain_text import printable
from napari_sem_classify.plugin.app.text import as_it_is

LABEL_COLUMN = "Overlap"
SPIN_BUTTONS = 2.4  # width of both, in heights of a line

AnySpinBox = TypeVar("AnySpinBox", bound=widgets.SpinBox | widgets.FloatSpinBox)


class Form(QWidget):
    """A grid of rows with a label column of one width."""

    def __init__(self, parent: QWidget | None = None, margin: int = 4) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(margin, margin, margin, margin)
        self._grid.setVerticalSpacing(4)
        self._grid.setHorizontalSpacing(6)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnMinimumWidth(0, self.fontMetrics().horizontalAdvance(LABEL_COLUMN))

    def minimumSizeHint(self) -> QSize:
        """No higher than the notes need that wrap at the width there is."""
        hint = self._grid.minimumSize()
        if self._grid.hasHeightForWidth() and self.width() > hint.width():
            hint.setHeight(min(hint.height(), self._grid.heightForWidth(self.width())))
        return hint

    def row(self, label: str, *controls: widgets.Widget | QWidget) -> QWidget:
        """Add a labelled row and give the widget that holds it (hide it to hide the row)."""
        holder = QWidget(self)
        line = QHBoxLayout(holder)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        title = _Title(label, self._grid.columnMinimumWidth(0))
        line.addWidget(title)
        natives = [native_of(control) for control in controls]
        for native in natives:
            small = isinstance(native, (QLabel, QAbstractButton)) and not isinstance(native, Note)
            line.addWidget(native, 0 if small and len(natives) > 1 else 1)
        title.setBuddy(natives[0])
        self.wide(holder)
        return holder

    def wide(self, *controls: widgets.Widget | QWidget) -> None:
        """Add rows that take the whole width."""
        for control in controls:
            self._grid.addWidget(native_of(control), self._grid.rowCount(), 0, 1, 2)

    def stretch(self) -> None:
        """Leave the room that is left below the rows so far."""
        self._grid.setRowStretch(self._grid.rowCount(), 1)


class _Title(QLabel):
    """The label of a row: as wide as the column, or as its text where that is wider."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(text)
        self._column = column
        self.setTextFormat(Qt.TextFormat.PlainText)

    def sizeHint(self) -> QSize:
        """Labels of short texts have one width."""
        hint = super().sizeHint()
        return QSize(max(hint.width(), self._column), hint.height())

    def minimumSizeHint(self) -> QSize:
        """It is never cut."""
        return self.sizeHint()


class Note(QLabel):
    """A sentence that wraps, can be selected, and takes no room while it is empty."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setAccessibleName(name)
        self._plain = ""
        self.hide()

    @property
    def said(self) -> str:
        """The sentence without any mark-up."""
        return self._plain

    def say(self, text: str, mark: str = "") -> None:
        """Show a sentence, with a sign before it where one is given; hide when it is empty."""
        self._plain = text
        shown = html.escape(printable(text, lines=True))
        self.setText(f"<b>{mark}</b> {shown}" if mark and text else shown)
        self.setAccessibleDescription(text)
        self.setVisible(bool(text))

    def warn(self, text: str) -> None:
        """Show a sentence that asks for attention."""
        self.say(text, "⚠")

    def fail(self, text: str) -> None:
        """Show a sentence that tells why something did not work."""
        self.say(text, "✕")

    def say_html(self, markup: str, plain: str) -> None:
        """Show text with mark-up, such as coloured squares."""
        self._plain = plain
        self.setText(markup)
        self.setAccessibleDescription(plain)
        self.setVisible(bool(plain))


class Spare(QLabel):
    """A short text that is shown whole or, where there is no room for it, not at all."""

    def minimumSizeHint(self) -> QSize:
        """It wants no room."""
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Show it where nothing of it is cut."""
        if self.width() >= self.sizeHint().width():
            super().paintEvent(event)


def native_of(control: widgets.Widget | QWidget) -> QWidget:
    """The Qt widget behind a magicgui widget, or the Qt widget itself."""
    return control if isinstance(control, QWidget) else control.native


def side_by_side(*controls: widgets.Widget | QWidget) -> QWidget:
    """Controls in one row that share its width."""
    holder = QWidget()
    line = QHBoxLayout(holder)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(4)
    for control in controls:
        line.addWidget(native_of(control), 1)
    return holder


def enlarge(main: widgets.PushButton) -> None:
    """Make the main button of a dock higher than the others."""
    main.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    main.native.setMinimumHeight(round(1.4 * main.native.sizeHint().height()))


def explain(control: widgets.Widget | QWidget, name: str, tooltip: str) -> None:
    """Give a control the name that a screen reader tells and the tooltip that explains it."""
    native = native_of(control)
    native.setToolTip(as_it_is(tooltip))
    native.setAccessibleName(name)
    native.setAccessibleDescription(tooltip)


def button(text: str, tooltip: str, name: str = "") -> widgets.PushButton:
    """A button with its tooltip; a screen reader tells `name`, its text where there is none."""
    made = widgets.PushButton(text=text)
    explain(made, name or text.rstrip(" …▾"), tooltip)
    return made


def check_box(text: str, tooltip: str, name: str = "", value: bool = False) -> widgets.CheckBox:
    """A check box with its tooltip; a screen reader tells `name`, its text where there is none."""
    made = widgets.CheckBox(value=value, text=text)
    explain(made, name or text[:1].upper() + text[1:], tooltip)
    return made


def follow_data(before: Any, now: Any, listener: Callable[..., None]) -> None:
    """Listen to the data of another layer than before; None is no layer."""
    if now is not before:
        if before is not None:
            before.events.data.disconnect(listener)
        if now is not None:
            now.events.data.connect(listener)


def pop_below(menu: QMenu, button: QWidget) -> None:
    """Open a menu below its button."""
    menu.popup(button.mapToGlobal(button.rect().bottomLeft()))


def slim(spin_box: AnySpinBox, longest: str = "00000.00") -> AnySpinBox:
    """Let a spin box be no wider than the numbers people enter, whatever its range allows."""
    spin_box.native.installEventFilter(_Slim(spin_box.native, longest))
    return spin_box


class _Slim(QObject):
    """Keeps room in a spin box for a text, in the font that it has by now."""

    def __init__(self, box: QAbstractSpinBox, longest: str) -> None:
        super().__init__(box)
        self._box, self._longest = box, longest
        self._fit()

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Fit when theme, font or size are others."""
        kinds = (QEvent.Type.StyleChange, QEvent.Type.FontChange, QEvent.Type.Show)
        if event is not None and event.type() in kinds:
            self._fit()
        return False

    def _fit(self) -> None:
        letters = self._box.fontMetrics().horizontalAdvance(self._longest)
        height = self._box.fontMetrics().height()
        self._box.setMinimumWidth(letters + round(SPIN_BUTTONS * height))


def narrow(combo: widgets.ComboBox, least: int = 8) -> widgets.ComboBox:
    """Let a combo box shrink below its longest entry: a long name must not widen the dock."""
    native = combo.native
    box = native if isinstance(native, QComboBox) else native.findChild(QComboBox)
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    box.setSizeAdjustPolicy(policy)
    box.setMinimumContentsLength(least)
    box.setIconSize(QSize(0, 0))
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo
