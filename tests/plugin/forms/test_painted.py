"""Plots that are painted by the program itself."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel

from napari_sem_classify.plugin.forms.painted import Painted


class Faulty(Painted):
    """Fails while it paints, and what it painted with is still known to somebody."""

    def paint(self, painter):
        self.painter = painter
        raise ZeroDivisionError

    def height_px(self):
        return 20


def test_a_plot_that_fails_is_not_being_painted_any_more(qtbot):
    label = QLabel()
    plot = Faulty(label, "Plot", "A plot")
    qtbot.addWidget(label)
    qtbot.addWidget(plot)
    with qtbot.capture_exceptions() as raised:
        plot.grab()
    assert raised[0][0] is ZeroDivisionError
    assert not plot.painter.isActive()
