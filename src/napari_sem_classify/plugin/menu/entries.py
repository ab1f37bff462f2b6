"""What napari makes for each entry of the menu; light, so that the window goes on at once."""

from __future__ import annotations

from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.docks import Entry


class TileEntry(Entry):
    """*Tile image* in the menu."""

    @staticmethod
    def kind() -> type[DockWidget]:
        """Tile."""
        from napari_sem_classify.plugin.tile.widget import TileWidget

        return TileWidget


class ClassifyEntry(Entry):
    """*Classify* in the menu."""

    PAGE = "Map"

    @staticmethod
    def kind() -> type[DockWidget]:
        """Classify."""
        from napari_sem_classify.plugin.classify.widget import ClassifyWidget

        return ClassifyWidget


class MeasureEntry(ClassifyEntry):
    """*Measure* in the menu."""

    PAGE = "Measure"


class TeachEntry(Entry):
    """*Teach* in the menu."""

    @staticmethod
    def kind() -> type[DockWidget]:
        """Teach."""
        from napari_sem_classify.plugin.finetune.dock import TeachDock

        return TeachDock


class FineTuneEntry(TeachEntry):
    """*Fine-tune* in the menu."""

    PAGE = "Fine-tune"


class BatchEntry(Entry):
    """*Batch* in the menu."""

    @staticmethod
    def kind() -> type[DockWidget]:
        """Batch."""
        from napari_sem_classify.plugin.batch.widget import BatchWidget

        return BatchWidget
