"""What came out: the table of classes, and the files that can be made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QWidget

from napari_sem_classify.core.export.quantities import (
    TILES_NOTE,
    cell_of_area,
    fraction_text,
    size_text,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import count_text, percent_text
from napari_sem_classify.plugin.forms.fitted_table import FittedTable
from napari_sem_classify.plugin.forms.layout import Form, Note, button, pop_below

AREA_TIP = "Area fraction: share of the classified area"
TILES_TIP = (
    'Share of the classified area; of "tiles with" a class the share of tiles, which is none of '
    "the area"
)
FRACTIONS_NOTE = "As classified: not corrected for the mistakes of the model."
AREA_COLUMN = 3
NOT_CLASSIFIED = "This plane was not classified."


class ResultTable(FittedTable):
    """A row per class: colour and name, tiles, fraction and area, in px² without calibration."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(
            label,
            "Classes of the map",
            "How much of the classified area each class covers",
            4,
            may_hide=(AREA_COLUMN,),
        )

    def show_shares(self, shares: Sequence[ClassFraction], *, overlapping: bool) -> None:
        """Fill the table; with overlap the map's cells are counted, which are not tiles then."""
        counted = "Cells" if overlapping else "Tiles"
        cells = "Cells of the map: squares as wide as the distance between tiles"
        self.header_tips = {
            1: cells if overlapping else "Tiles of the class",
            2: TILES_TIP if any(not share.is_area for share in shares) else AREA_TIP,
        }
        rows = [
            (
                share.title,
                count_text(share.cells),
                percent_text(share.fraction),
                cell_of_area(share),
            )
            for share in shares
        ]
        told = [
            ", ".join(filter(None, (*row[:2], fraction_text(share), size_text(share))))
            for row, share in zip(rows, shares, strict=True)
        ]
        self.fill(
            ["Class", counted, "Fraction", "Area"],
            rows,
            [share.colour for share in shares],
            tooltips=told,
        )


class ResultForm:
    """Table and export of the maps of one image."""

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._owner = owner
        self._image: SemImage | None = None
        self._maps: dict[tuple[int, ...], ClassMap] = {}
        self._writing = JobSlot(owner)
        self.note = Note("About the area fractions")
        self.table = ResultTable(self.note)
        self.export = button("Export ▾", "Write tables, map and picture, or copy the table")
        self.message = Note("Result of the export")
        self.menu = QMenu(owner)
        write = self.menu.addAction("Tables, map and picture into a folder…")
        write.triggered.connect(self._choose_folder)
        self.menu.addAction("Copy table").triggered.connect(self.table.copy)
        form.wide(self.table, self.note, self.export, self.message)
        self.export.native.setVisible(False)
        self.export.changed.connect(lambda: pop_below(self.menu, self.export.native))

    def show_maps(
        self,
        image: SemImage | None,
        maps: Mapping[tuple[int, ...], ClassMap],
        plane: tuple[int, ...],
    ) -> None:
        """Show the finished maps of an image: the table tells the plane in view."""
        if [id(each) for each in maps.values()] != [id(each) for each in self._maps.values()]:
            self.message.say("")
        self._image, self._maps = image, dict(maps)
        self.export.native.setVisible(bool(maps) and image is not None)
        class_map = maps.get(plane)
        if class_map is None:
            self.table.hide()
            self.note.say(NOT_CLASSIFIED if maps else "")
        else:
            self.show_shares(class_map.fractions(), class_map.grid)

    def show_shares(self, shares: list[ClassFraction], grid: TileGrid) -> None:
        """Fill the table, also while the map is still filling."""
        self.table.show_shares(shares, overlapping=grid.stride < grid.tile)
        tiles = any(not share.is_area for share in shares)
        self.note.say(f"{FRACTIONS_NOTE} {TILES_NOTE}" if tiles else FRACTIONS_NOTE)

    def export_to(self, folder: Path) -> None:
        """Write tables, map and picture of the maps shown into a folder."""
        image, maps = self._image, list(self._maps.values())
        if image is None or not maps or self._writing.running:
            return

        def task(context: JobContext) -> tuple[int, list[str]]:
            from napari_sem_classify.core.common.output_folder import output_folder
            from napari_sem_classify.core.export.outputs import stage_outputs
            from napari_sem_classify.core.image.file_names import stem_of

            stem = stem_of(image.name)
            with output_folder(folder) as out, out.staging() as staging:
                for class_map in maps:
                    context.check()
                    stage_outputs(class_map, image, staging, stem)
                return len(out.put(staging, stem)), out.told

        def done(result: tuple[int, list[str]]) -> None:
            written, told = result
            self.message.say(" ".join([f"{written} files written to {folder}.", *told]))

        self.message.say("writing…")
        self._writing.start(
            task, doing="writing the results", on_done=done, on_failed=self.message.fail
        )

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._owner, "Folder for the results")
        if folder:
            self.export_to(Path(folder))
