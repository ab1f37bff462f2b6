"""Small painted plots in napari's own font and colours."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_sem_classify.plugin.forms.layout import explain

FAINT = 0.45


class Painted(QWidget):
    """A plot as wide as the form; what it shows is told in words too.

    It has font and colours of a label: napari's theme sets those of labels only.
    """

    def __init__(self, label: QLabel, name: str, tooltip: str) -> None:
        super().__init__()
        self._label = label
        explain(self, name, tooltip)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hide()

    @property
    def metrics(self) -> QFontMetrics:
        """Measures of the font."""
        self._label.ensurePolished()
        return self._label.fontMetrics()

    @property
    def ink(self) -> QColor:
        """Colour of text."""
        return self._label.palette().color(QPalette.ColorRole.WindowText)

    @property
    def faint(self) -> QColor:
        """Colour of axes."""
        faint = self.ink
        faint.setAlphaF(FAINT)
        return faint

    def tell(self, words: str) -> None:
        """Give what is shown in words, and paint anew."""
        self.setAccessibleDescription(words)
        self.updateGeometry()
        self.update()
        self.show()

    def height_px(self) -> int:
        """Height that the plot needs."""
        raise NotImplementedError

    def paint(self, painter: QPainter) -> None:
        """Paint the plot."""
        raise NotImplementedError

    def sizeHint(self) -> QSize:
        """As wide as the form, as high as needed."""
        return QSize(200, self.height_px())

    def minimumSizeHint(self) -> QSize:
        """May be narrow, never lower."""
        return QSize(0, self.height_px())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint in napari's font."""
        self._label.ensurePolished()
        painter = QPainter(self)
        try:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setFont(self._label.font())
            painter.setPen(self.ink)
            self.paint(painter)
        finally:
            # An error keeps its frames alive: with the painter still at work in one of them, Qt
            # would end the program when the plot goes away.
            painter.end()
