"""How every dock is laid out: header, page buttons, one page that scrolls, a foot that never does.

┌──────────────────────┐
│ header               │  scrolls only where the window is very low
│ [ Map ] Measure ...  │  no buttons where there is one page
│ page                 │  scrolls
│ message, progress,   │
│ the main button      │  always in view
└──────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QTabBar, QVBoxLayout, QWidget

WIDTH = 340
LEAST_HEADER, LEAST_PAGE = 60, 90
ABOVE = 6


class Section(QScrollArea):
    """Controls that scroll up and down where the window is low, never sideways.

    With `yields` it takes no more height than it needs, otherwise all that is left.
    """

    def __init__(self, content: QWidget, least: int, *, yields: bool = False) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        height = QSizePolicy.Policy.Maximum if yields else QSizePolicy.Policy.Expanding
        self.setSizePolicy(QSizePolicy.Policy.Preferred, height)
        self._content = content
        self._least, self._yields = least, yields
        self.setWidget(content)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Tell the dock when the controls need another size, as with a larger font."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def minimumSizeHint(self) -> QSize:
        """As wide as the controls need, since nothing scrolls sideways."""
        scroll = self.verticalScrollBar()
        bar = 0 if scroll is None else scroll.sizeHint().width()
        height = min(self._least, self._height())
        return QSize(self._content.minimumSizeHint().width() + bar, height)

    def sizeHint(self) -> QSize:
        """Wide enough for notes to read well; as high as the controls where it yields."""
        least = self.minimumSizeHint()
        height = self._height() if self._yields else least.height()
        return QSize(max(least.width(), WIDTH), height)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Ask for another height where notes wrap otherwise."""
        super().resizeEvent(event)
        if self._yields:
            self.updateGeometry()

    def _height(self) -> int:
        # Notes wrap: how high they are depends on the width that there is.
        layout, seen = self._content.layout(), self.viewport()
        if layout is None or seen is None or not self.isVisible() or not layout.hasHeightForWidth():
            return int(self._content.sizeHint().height())
        edge = self.height() - seen.height()
        return int(layout.heightForWidth(seen.width())) + edge


@dataclass(frozen=True, slots=True)
class _Page:
    title: str
    section: Section
    foot: QWidget | None


class DockFrame(QWidget):
    """The whole content of a dock.

    Attributes
    ----------
    turned : signal
        Tells the title of the page that is shown now.
    tabs : QTabBar
        The page buttons.
    """

    turned = Signal(str)

    def __init__(self, owner: QWidget, header: QWidget | None = None) -> None:
        super().__init__(owner)
        # napari leaves room below what does not want it, and the foot would not be at the bottom.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        whole = QVBoxLayout(owner)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0 if header is not None else ABOVE, 0, 0)
        self._column.setSpacing(0)
        self._pages: list[_Page] = []
        if header is not None:
            self._column.addWidget(Section(header, LEAST_HEADER, yields=True))
        self.tabs = QTabBar(self)
        self.tabs.setAccessibleName("Pages")
        self.tabs.setToolTip("Pages of this dock")
        self.tabs.setExpanding(True)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setDrawBase(True)
        self.tabs.hide()
        self._column.addWidget(self.tabs)
        self._line = QFrame(self)
        self._line.setFrameShape(QFrame.Shape.HLine)
        self._column.addWidget(self._line)
        self.tabs.currentChanged.connect(self._on_tab)

    def add_page(
        self, title: str, tooltip: str, content: QWidget, foot: QWidget | None = None
    ) -> None:
        """Add a page; its foot, which pages may share, is shown below it and never scrolls."""
        page = _Page(title, Section(content, LEAST_PAGE), foot)
        first = not self._pages
        self._pages.append(page)
        at = self._column.indexOf(self._line)
        self._column.insertWidget(at, page.section, 1)
        if foot is not None and self._column.indexOf(foot) < 0:
            self._column.addWidget(foot)
        number = self.tabs.addTab(title)
        self.tabs.setTabToolTip(number, tooltip)
        self.tabs.setVisible(len(self._pages) > 1)
        page.section.setVisible(first)
        if foot is not None:
            foot.setVisible(foot is self._pages[0].foot)

    @property
    def page(self) -> str:
        """Title of the page that is shown."""
        return self._pages[self.tabs.currentIndex()].title

    def turn_to(self, title: str) -> None:
        """Show a page."""
        titles = [page.title for page in self._pages]
        self.tabs.setCurrentIndex(titles.index(title))

    def allow(self, title: str, on: bool) -> None:
        """Let the user turn to a page, or not."""
        titles = [page.title for page in self._pages]
        self.tabs.setTabEnabled(titles.index(title), on)

    def _show(self, page: _Page, shown: bool) -> None:
        page.section.setVisible(shown)
        if page.foot is not None:
            page.foot.setVisible(shown)

    def _on_tab(self, number: int) -> None:
        # Hide first: two feet at once would make the window higher.
        for shown in (False, True):
            for at, page in enumerate(self._pages):
                if (at == number) is shown:
                    self._show(page, shown)
        if 0 <= number < len(self._pages):
            self.turned.emit(self._pages[number].title)
