"""A part of a form that is folded away until it is wanted."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QWidget

from napari_sem_classify.plugin.forms.layout import Form, Note, explain


class FoldButton(QToolButton):
    """An arrow, with a title where one is given: right while folded, down while open."""

    def __init__(self, title: str, name: str, tooltip: str) -> None:
        super().__init__()
        self.setCheckable(True)
        self.setAutoRaise(True)
        self.setText(title)
        if title:
            self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        explain(self, name, tooltip)
        self.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def _on_toggled(self, on: bool) -> None:
        self.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)


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
        self.button.toggled.connect(self._on_toggled)
        self._said = ""

    @property
    def open(self) -> bool:
        """Whether the rows are shown."""
        return bool(self.button.isChecked())

    @open.setter
    def open(self, on: bool) -> None:
        self.button.setChecked(on)

    def tell(self, values: str) -> None:
        """Say what is set, shown while folded."""
        self._said = values
        self.summary.say("" if self.open else values)

    def _on_toggled(self, on: bool) -> None:
        self.body.setVisible(on)
        self.tell(self._said)
