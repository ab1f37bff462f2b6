"""A part of a form that is folded away until it is wanted."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_sem_classify.plugin.forms.layout import Form, Note, explain

RIGHT, DOWN = "▸", "▾"


class FoldButton(QPushButton):
    """An arrow, with a title where one is given: right while folded, down while open.

    Attributes
    ----------
    turned : signal
        Tells whether it is open now.
    """

    turned = Signal(bool)

    def __init__(self, title: str, name: str, tooltip: str) -> None:
        super().__init__()
        self._title, self._open = title, False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        explain(self, name, tooltip)
        self._show()
        self.clicked.connect(lambda: self.turn(not self._open))

    @property
    def open(self) -> bool:
        """Whether the rows are shown."""
        return self._open

    def turn(self, on: bool) -> None:
        """Show the rows, or fold them away."""
        if on != self._open:
            self._open = on
            self._show()
            self.turned.emit(on)

    def sizeHint(self) -> QSize:
        """A square for the arrow alone."""
        hint = super().sizeHint()
        return hint if self._title else QSize(hint.height(), hint.height())

    def minimumSizeHint(self) -> QSize:
        """As wide as it likes to be: nothing of it is cut."""
        return self.sizeHint()

    def _show(self) -> None:
        self.setText(f"{DOWN if self._open else RIGHT} {self._title}".strip())


class AdvancedFold:
    """What has a good default: one line that tells the values, open to change them.

    Attributes
    ----------
    body : Form
        For the rows.
    """

    def __init__(
        self,
        form: Form,
        tooltip: str = "Settings that seldom need a change",
        title: str = "Advanced",
    ) -> None:
        self.button = FoldButton(title, title, tooltip)
        self.summary = Note(f"{title} settings in short")
        self.body = Form(margin=0)
        head = QWidget()
        line = QHBoxLayout(head)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.button)
        line.addWidget(self.summary, 1)
        line.addStretch()
        self.summary.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        form.wide(head, self.body)
        self.body.hide()
        self.button.turned.connect(self._on_turned)
        self._said = ""

    @property
    def open(self) -> bool:
        """Whether the rows are shown."""
        return self.button.open

    @open.setter
    def open(self, on: bool) -> None:
        self.button.turn(on)

    def tell(self, values: str) -> None:
        """Say what is set, shown while folded."""
        self._said = values
        self.summary.say("" if self.open else values)

    def _on_turned(self, on: bool) -> None:
        self.body.setVisible(on)
        self.tell(self._said)
