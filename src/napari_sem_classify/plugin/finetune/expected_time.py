"""About how long a training will take, told before it starts."""

from __future__ import annotations

from collections.abc import Callable

from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_pace import Pace, plan_training
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot, SettleTimer
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.finetune.chosen import Choice
from napari_sem_classify.plugin.forms.layout import Form, Note

SETTLE_MS = 800
TRYING = "Timing a few tiles to tell how long it will take…"

Found = tuple[str, float]
"""Kind of the processor, and work a second."""


class ExpectedTime:
    """A note; a short trial is made once for each processor and network.

    `planned` tells what is trained in the time that the user has, once it is known.
    """

    planned = Signal(object)

    def __init__(self, form: Form, owner: QWidget) -> None:
        self._trying = JobSlot(owner)
        self._rates: dict[tuple[str, str], Found] = {}
        self._wanted: tuple[Choice, FineTuneOptions, Pace | None] | None = None
        self._later = SettleTimer(owner, SETTLE_MS, self._try)
        self.note = Note("Expected time of the training")
        form.wide(self.note)

    def show(
        self, choice: Choice | None, options: FineTuneOptions | None, pace: Pace | None = None
    ) -> None:
        """Tell the time of a training, or nothing where there is none to start.

        Where there is a pace the training is cut to it first.
        """
        if choice is None or options is None:
            self.stop()
            return
        self._wanted = choice, options, pace
        if self._key(options) in self._rates:
            self._tell()
        elif not self._trying.running:
            self._later.start()

    def stop(self) -> None:
        """Tell nothing, and leave the processor to others."""
        self._wanted = None
        self._later.stop()
        self._trying.abandon()
        self.note.say("")

    def rate(self, options: FineTuneOptions) -> float | None:
        """Work a second, None while it is not known."""
        found = self._rates.get(self._key(options))
        return None if found is None else found[1]

    def _key(self, options: FineTuneOptions) -> tuple[str, str]:
        return options.device, options.backbone_id

    def _tell(self) -> None:
        from napari_sem_classify.core.finetune.finetune_trial import expected_seconds, parts_of

        if self._wanted is None:
            return
        choice, options, pace = self._wanted
        kind, rate = self._rates[self._key(options)]
        tiles, n_classes = sum(choice.counts.values()), len(choice.counts)
        if pace is None:
            seconds = expected_seconds(options.preset, tiles, kind, rate)
            self.note.say(f"About {duration_text(seconds)}, as a short trial has it.")
            return
        tiles = tiles if pace.most_images is None else min(tiles, pace.most_images)
        parts = parts_of(tiles)
        plan = plan_training(pace, parts, n_classes, options.preset, device=kind, rate=rate)
        self.note.say(plan.sentence(choice.what))
        self.planned.emit(plan)

    def _try(self) -> None:
        if self._wanted is None:
            return
        options = self._wanted[1]
        key = self._key(options)

        def done(found: Found) -> None:
            self._rates[key] = found
            if self._wanted is not None and self._key(self._wanted[1]) == key:
                self._tell()
            else:
                self._later.start()

        self.note.say(TRYING)
        self._trying.start(
            _trial(*key),
            doing="timing a training",
            on_done=done,
            on_failed=lambda _sentence: self.note.say(""),  # the training will tell what is wrong
        )


def _trial(device: str, backbone_id: str) -> Callable[[JobContext], Found]:
    def task(_context: JobContext) -> Found:
        from napari_sem_classify.core.finetune.finetune_trial import trial_rate
        from napari_sem_classify.core.network.engine.devices import find_device

        return find_device(device).type, trial_rate(device, backbone_id)

    return task
