"""How many tiles a run has and how long it will take, as far as that is known yet."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import isfinite

from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.classify.expectation import Expectation, expect
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot, SettleTimer
from napari_sem_classify.plugin.app.session import ReadyModel
from napari_sem_classify.plugin.app.text import count_text, duration_text
from napari_sem_classify.plugin.forms.layout import Form, Note

SETTLE_MS = 350


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A run that may be begun: the tiles of its first plane, the number of planes, the model."""

    tiles: PlaneTiles
    planes: int
    ready: ReadyModel
    options: ClassifyOptions

    @property
    def question(self) -> Hashable:
        """What the answer depends on."""
        tiles = self.tiles
        keep = None if tiles.keep is None else tiles.keep.tobytes()
        where = id(tiles.image), tiles.grid, keep, tiles.plane, self.planes
        return *where, id(self.ready), self.options


class EstimateForm:
    """A line: at first what the tiles take, then with the cache and 8 bits counted in."""

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._looking = JobSlot(owner)
        self._settle = SettleTimer(owner, SETTLE_MS, self._look)
        self._asked: AskedRun | None = None
        self._question: Hashable = None
        self._found: Expectation | None = None
        self.note = Note("Number of tiles and expected time")
        form.wide(self.note)

    @property
    def said(self) -> str:
        """What stands there."""
        return self.note.said

    def tell(self, tiles: int, words: list[str], asked: AskedRun | None) -> None:
        """Tell a number of tiles and what is known of their time; soon what the run will be.

        The latter not of fine maps, nor while the speed is not known.
        """
        if asked is not None and (asked.options.dense or not isfinite(asked.ready.tiles_per_s)):
            asked = None
        question = None if asked is None else asked.question
        if question is not None and question == self._question and self._found is not None:
            return
        self.note.say(" · ".join([f"{count_text(tiles)} tiles", *words]))
        if question is None or question != self._question:
            self.forget()
            self._asked, self._question = asked, question
            if asked is not None:
                self._settle.start()

    def clear(self) -> None:
        """Say nothing."""
        self.forget()
        self.note.say("")

    def forget(self) -> None:
        """Let go of work under way and of what was found."""
        self._settle.stop()
        self._looking.abandon()
        self._asked = self._question = self._found = None

    def _look(self) -> None:
        if self._asked is not None:
            self._looking.start(
                _task(self._asked),
                doing="looking how long it will take",
                on_done=self._show,
                on_failed=lambda _sentence: None,  # the run will tell what is wrong
            )

    def _show(self, found: Expectation) -> None:
        if self._asked is None:
            return
        self._found, ready = found, self._asked.ready
        tiles = self._asked.tiles.count * self._asked.planes
        words = [f"{count_text(tiles)} tiles"]
        if found.known:
            words.append(
                "all known" if found.known >= tiles else f"{count_text(found.known)} known"
            )
        words.append(f"about {duration_text(found.tiles / ready.tiles_per_s)}")
        words += ["8 bit"] * found.in_8_bits
        self.note.say(" · ".join([*words, ready.engine.device]))


def _task(asked: AskedRun) -> Callable[[JobContext], Expectation]:
    def task(_context: JobContext) -> Expectation:
        ready = asked.ready
        run = asked.tiles, asked.planes, ready.classifier, ready.engine, asked.options
        return expect(*run)

    return task
