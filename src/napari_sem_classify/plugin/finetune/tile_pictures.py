"""Grey pictures of tiles in a row: for looking at, and for clicking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPen, QResizeEvent
from qtpy.QtWidgets import QLabel

from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.painted import Painted

GAP = 4


class TilePictures(Painted):
    """Pictures in rows of a few, each with a coloured bar and a line of text below.

    `picked` tells the number of the picture that was clicked.
    """

    picked = Signal(int)

    def __init__(self, label: QLabel, name: str, tooltip: str, across: int) -> None:
        super().__init__(label, name, tooltip)
        self.across = across
        self.shown: list[tuple[QImage, str, str, str]] = []
        self.chosen: int | None = None
        self._clickable = False

    def fill(
        self,
        pictures: list[NDArray[np.uint8]],
        captions: list[str],
        colours: list[str],
        tooltips: list[str],
        *,
        clickable: bool = False,
    ) -> None:
        """Show pictures, uint8 of shape (side, side) each; nothing where there is none."""
        images = [_image(picture) for picture in pictures]
        self.shown = list(zip(images, captions, colours, tooltips, strict=True))
        self.chosen, self._clickable = None, clickable
        shape, focus = Qt.CursorShape, Qt.FocusPolicy
        self.setCursor(shape.PointingHandCursor if clickable else shape.ArrowCursor)
        self.setMouseTracking(True)
        self.setFocusPolicy(focus.StrongFocus if clickable else focus.NoFocus)
        self.tell("; ".join(tooltips))
        self.setVisible(bool(pictures))

    def height_px(self) -> int:
        """As many rows as the pictures need."""
        rows = -(-len(self.shown) // self.across)
        return max(1, round(rows * self._row_height()))

    def paint(self, painter: QPainter) -> None:
        """Paint pictures and captions."""
        metrics = painter.fontMetrics()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        for number, (image, caption, colour, _) in enumerate(self.shown):
            box = self._box(number)
            painter.drawImage(box, image)
            painter.fillRect(QRectF(box.left(), box.bottom(), box.width(), 4), QColor(colour))
            if number == self.chosen:
                painter.setPen(QPen(self.ink, 2.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(box)
            painter.setPen(self.ink)
            wide = self._room_for(number)
            short = metrics.elidedText(caption, Qt.TextElideMode.ElideRight, int(wide))
            below = QRectF(box.left(), box.bottom() + 5, wide, metrics.height())
            painter.drawText(below, Qt.AlignmentFlag.AlignLeft, short)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Squares stay squares: the height follows the width."""
        super().resizeEvent(event)
        self.updateGeometry()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Tell which picture was clicked."""
        number = self._at(event.position().x(), event.position().y())
        if self._clickable and number is not None:
            self.choose(number)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go through the pictures with the arrow keys."""
        steps: dict[int, int] = {
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Down: self.across,
            Qt.Key.Key_Up: -self.across,
        }
        step = steps.get(event.key())
        if step is None or not self._clickable or not self.shown:
            super().keyPressEvent(event)
            return
        here = -1 if self.chosen is None else self.chosen
        self.choose(min(max(0, here + step), len(self.shown) - 1))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Explain the picture below the mouse."""
        number = self._at(event.position().x(), event.position().y())
        if number is not None:
            self.setToolTip(as_it_is(self.shown[number][3]))

    def choose(self, number: int) -> None:
        """Mark a picture and tell its number."""
        self.chosen = number
        self.update()
        self.picked.emit(number)

    def _side(self) -> float:
        return max(16.0, (self.width() - GAP * (self.across - 1)) / self.across)

    def _room_for(self, number: int) -> float:
        """Width of a caption: it may reach below the next pictures that have none."""
        after = number + 1
        while after % self.across and after < len(self.shown) and not self.shown[after][1]:
            after += 1
        return (after - number) * (self._side() + GAP) - GAP

    def _row_height(self) -> float:
        return self._side() + self.metrics.height() + 6 + GAP

    def _box(self, number: int) -> QRectF:
        row, column = divmod(number, self.across)
        side = self._side()
        return QRectF(column * (side + GAP), row * self._row_height(), side, side)

    def _at(self, x: float, y: float) -> int | None:
        boxes = (self._box(number) for number in range(len(self.shown)))
        return next((number for number, box in enumerate(boxes) if box.contains(x, y)), None)


def _image(picture: NDArray[np.uint8]) -> QImage:
    data = np.ascontiguousarray(picture)
    rows, cols = data.shape
    return QImage(data.tobytes(), cols, rows, cols, QImage.Format.Format_Grayscale8).copy()
