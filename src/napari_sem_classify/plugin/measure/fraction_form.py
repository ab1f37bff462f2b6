"""Area fractions: as the map says, corrected by the review, and their spread over the specimen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicgui import widgets
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.export.quantities import (
    TILES_NOTE,
    cell_of_area,
    share_area_text,
    share_text,
)
from napari_sem_classify.core.export.report import NOT_BLIND
from napari_sem_classify.core.maps.class_map import ClassFraction, ClassMap
from napari_sem_classify.core.measure.area_fraction import Share
from napari_sem_classify.core.measure.field_statistics import (
    BlockSpread,
    FieldSpread,
    block_bootstrap,
    combined_half_width,
    field_shares,
    field_spread,
    pooled_fractions,
)
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot
from napari_sem_classify.plugin.app.text import count_text, counted, percent_text
from napari_sem_classify.plugin.forms.fitted_table import FittedTable
from napari_sem_classify.plugin.forms.layout import Form, Note, explain, narrow
from napari_sem_classify.plugin.measure.fields import Field
from napari_sem_classify.plugin.measure.reviewer import Corrected

RAW = "Raw: a classifier's mistakes bias them. Review some cells to correct them."
RAW_TOO = "Raw: a classifier's mistakes bias them. Corrected ones are below."
IN_PX = "Areas in px²: not calibrated."
OLOFSSON, POWERED = "from the review alone", "review and confidence"
METHODS_TIP = (
    "How to correct. From the review alone: stratified estimate (Olofsson et al. 2014). Review and "
    "confidence: also uses how sure the model is of each cell (prediction-powered, Angelopoulos "
    "et al. 2023); mostly a little narrower"
)


class FractionForm:
    """Tables of area fractions."""

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._resampling = JobSlot(owner)
        self._fields: Sequence[Field] = ()
        self._corrected: Corrected | None = None
        self._blocks: BlockSpread | None = None
        self.spreads: list[FieldSpread] | None = None
        self._build_fractions()
        self._build_accuracy()
        form.wide(self.raw, self.note, self.corrected_note)
        self._method_row = form.row("Corrected", self.method)
        form.wide(self.corrected, self.notes, self.overall, self.accuracy)
        form.wide(self.spread_note, self.spread)
        self.method.changed.connect(self._show)

    def _build_fractions(self) -> None:
        self.note = Note("About the raw area fractions")
        self.raw = FittedTable(
            self.note,
            "Area fractions as the map says",
            "How much of the classified area the map gives to each class",
            4,
            may_hide=(1, 3),
        )
        self.corrected_note = Note("About the corrected area fractions")
        self.raw.header_tips = {
            1: "Cells of the map: squares as wide as the distance between tiles",
            2: 'Share of the classified area; of "tiles with" a class, of tiles',
        }
        self.corrected = FittedTable(
            self.note,
            "Corrected area fractions",
            "Area fractions corrected by the review, with their 95 % interval",
            3,
            may_hide=(2,),
        )
        self.method = narrow(widgets.ComboBox(choices=[OLOFSSON, POWERED], value=OLOFSSON))
        explain(self.method, "Way to correct", METHODS_TIP)
        self.notes = Note("What to know about the corrected fractions")

    def _build_accuracy(self) -> None:
        self.accuracy = FittedTable(
            self.note,
            "Accuracy of the map",
            "User's accuracy: of what the map calls the class, how much is. "
            "Producer's accuracy: of what is the class, how much the map calls so",
            3,
            may_hide=(2,),  # in large fonts; a row's tooltip tells both
        )
        self.accuracy.header_tips = {
            1: "Of what the map calls the class, how much is (95 % interval)",
            2: "Of what is the class, how much the map calls so (95 % interval)",
        }
        self.overall = Note("Accuracy of the whole map")
        self.spread_note = Note("About the spread")
        self.spread = FittedTable(
            self.note,
            "Spread of the area fractions",
            "How much the fractions vary",
            3,
            may_hide=(2,),
        )
        self.spread.header_tips = {2: "Relative accuracy of ASTM E562: half-width by mean, percent"}

    # ------------------------------------------------------------------ what is measured

    def use(self, fields: Sequence[Field]) -> None:
        """Show the fractions of these maps; they must have the same classes."""
        self._resampling.abandon()
        self._fields, self._corrected, self._blocks = fields, None, None
        self._show()
        if len(fields) == 1:
            self._resample(fields[0].class_map)

    def show_corrected(self, corrected: Corrected | None) -> None:
        """Show what the review gave."""
        self._corrected = corrected
        with self.method.changed.blocked():
            both = corrected is not None and corrected.powered is not None
            self.method.choices = [OLOFSSON, POWERED] if both else [OLOFSSON]
        self._show()

    def _resample(self, class_map: ClassMap) -> None:
        def task(_context: JobContext) -> BlockSpread:
            return block_bootstrap(class_map)

        def done(blocks: BlockSpread) -> None:
            self._blocks = blocks
            self._show_spread()

        if not class_map.left_out.all():
            self._resampling.start(
                task, doing="resampling the map", on_done=done, on_failed=self.spread_note.say
            )

    # ------------------------------------------------------------------ what is shown

    @property
    def shares(self) -> tuple[Share, ...] | None:
        """Corrected shares by the chosen way."""
        if self._corrected is None:
            return None
        if self.method.value == POWERED and self._corrected.powered is not None:
            return self._corrected.powered
        return self._corrected.estimate.corrected

    def _show(self, _event: Any = None) -> None:
        maps = [field.class_map for field in self._fields]
        shares = pooled_fractions(maps) if maps else []
        self._show_raw(shares)
        self._show_corrected(shares)
        self._show_spread()

    def _show_raw(self, shares: Sequence[ClassFraction]) -> None:
        if not shares:
            self.raw.hide()
            self.note.say("")
            return
        calibrated = all(share.area_um2 is not None for share in shares if share.is_area)
        rows = []
        for share in shares:
            percent = percent_text(share.fraction)
            rows.append((share.title, count_text(share.cells), percent, cell_of_area(share)))
        unit = "Pixels" if self._fields[0].class_map.of_pixels else "Cells"
        self.raw.fill(["Class", unit, "Fraction", "Area"], rows, [s.colour for s in shares])
        if not sum(share.cells for share in shares):
            self.note.warn("No cell of the map has a class: all were left out.")
            return
        said = RAW if self._corrected is None else RAW_TOO
        more = [] if calibrated else [IN_PX]
        more += [] if all(share.is_area for share in shares) else [TILES_NOTE]
        self.note.say(" ".join([said, *more]))

    def _show_corrected(self, raw: Sequence[ClassFraction]) -> None:
        corrected, shares = self._corrected if raw else None, self.shares
        self._method_row.setVisible(corrected is not None)
        if corrected is None or shares is None:
            for table in (self.corrected, self.accuracy):
                table.hide()
            for note in (self.corrected_note, self.notes, self.overall):
                note.say("")
            return
        estimate = corrected.estimate
        n = int(estimate.counts.counts.sum())
        colours = [share.colour for share in raw]
        unit = estimate.counts.unit
        reviewed = counted(n, f"reviewed {unit}")
        self.corrected_note.say(f"Corrected by {reviewed}, 95 % intervals:")
        whole = estimate.area_um2
        rows, tips = [], []
        for share, before in zip(shares, raw, strict=True):
            area = share_area_text(share, whole) if before.is_area else "of tiles"
            rows.append((before.title, _compact(share), area))
            tips.append(
                f"{before.title}: {share_text(share)} {area}, 95 % interval "
                f"{100 * share.low:.2f} to {100 * share.high:.2f} %; the map says "
                f"{percent_text(before.fraction)}"
            )
        self.corrected.fill(
            ["Class", "Corrected, %", "Area"],
            rows,
            colours,
            unused=(2,) if whole is None else (),
            tooltips=tips,
        )
        seen = [NOT_BLIND] if corrected.blind is False else []
        self.notes.say(" ".join([*estimate.notes, *seen]))
        self.overall.say(
            f"Accuracy of the map: {share_text(estimate.overall)} of the area is right. "
            "By class, in %:"
        )
        by_class = estimate.counts.counts.sum(axis=1)
        rows = [
            (each.title, _whole(estimate.users[k]), _whole(estimate.producers[k]))
            for k, each in enumerate(raw)
        ]
        tips = [
            f"{each.title}: {counted(int(by_class[k]), unit)} reviewed that the map calls so; "
            f"user's {share_text(estimate.users[k])}, "
            f"producer's {share_text(estimate.producers[k])}"
            for k, each in enumerate(raw)
        ]
        self.accuracy.fill(["Class", "User's", "Producer's"], rows, colours, tooltips=tips)

    def _show_spread(self) -> None:
        maps = [field.class_map for field in self._fields]
        self.spreads = None
        self.spread.hide()
        if len(maps) > 1:
            self._show_fields(maps)
        elif self._blocks is not None:
            self._show_blocks(self._blocks, maps[0])
        else:
            self.spread_note.say("")

    def _show_fields(self, maps: Sequence[ClassMap]) -> None:
        estimate = None if self._corrected is None else self._corrected.estimate
        try:
            columns = field_shares(maps, estimate).T
            self.spreads = [field_spread(column) for column in columns]
        except SemClassifyError as error:
            self.spread_note.say(str(error))
            return
        rows, tips = [], []
        for k, (info, spread) in enumerate(zip(maps[0].classes, self.spreads, strict=True)):
            half = spread.half_width
            if estimate is not None:
                half = combined_half_width(spread, estimate.corrected[k])
            mean = f"{100 * spread.mean:.1f} ± {100 * half:.1f}"
            relative = spread.relative_accuracy_percent
            shown = "–" if relative != relative else f"{relative:.0f}"
            rows.append((info.title, mean, shown))
            fields = spread.fields_for(10.0)
            more = "" if fields is None else f"; 10 %RA needs {count_text(fields)} fields"
            tips.append(
                f"{info.title}: mean of {spread.fields} fields {mean} %, standard deviation "
                f"{100 * spread.standard_deviation:.1f} %, %RA {shown}{more}"
            )
        kind = "raw" if estimate is None else "corrected, review included"
        self.spread_note.say(f"From field to field (ASTM E562, 95 %), {len(maps)} fields, {kind}:")
        colours = [info.colour for info in maps[0].classes]
        self.spread.fill(["Class", "Mean, %", "%RA"], rows, colours, tooltips=tips)

    def _show_blocks(self, blocks: BlockSpread, class_map: ClassMap) -> None:
        rows = [
            (info.title, f"{100 * s.low:.1f} to {100 * s.high:.1f}", f"{50 * (s.high - s.low):.1f}")
            for info, s in zip(class_map.classes, blocks.shares, strict=True)
        ]
        self.spread_note.say(
            "Another place of this specimen might give (raw, 95 %, from "
            f"{count_text(blocks.blocks)} blocks of this image):"
        )
        colours = [info.colour for info in class_map.classes]
        self.spread.fill(["Class", "Range, %", "±"], rows, colours)


def _compact(share: Share) -> str:
    """A share in percent without the sign, for a narrow column: "61.2 ± 1.8", "0.4 (0.1–1.6)"."""
    return share_text(share).replace(" %", "").replace(" to ", "–")


def _whole(share: Share) -> str:
    """A share in whole percent with its interval: "74 (37–94)"; tooltips tell the decimals."""
    if share.value != share.value:
        return "–"
    return f"{100 * share.value:.0f} ({100 * share.low:.0f}–{100 * share.high:.0f})"
