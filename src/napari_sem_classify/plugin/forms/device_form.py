"""Which processor, and how fast it is with the model: loaded and timed in the background."""

from __future__ import annotations

from math import isfinite
from typing import Any

from magicgui import widgets
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.model.catalogue import ModelEntry
from napari_sem_classify.core.network.engine.devices import AUTOMATIC, DeviceChoice
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.app.ready import PreparedModel, find_devices, prepare
from napari_sem_classify.plugin.app.session import ReadyModel, Session
from napari_sem_classify.plugin.app.text import duration_text
from napari_sem_classify.plugin.forms.layout import Form, explain, narrow

SETTLE_MS = 350


class DeviceForm:
    """Choice of the device; gets the model ready there once model and tile size have settled.

    Attributes
    ----------
    changed : signal
        Another device, or the model became ready or failed to.
    problem : str
        Why the model could not be made ready, "" where it could or was not tried.
    """

    changed = Signal()

    def __init__(self, form: Form, session: Session, owner: QWidget) -> None:
        self._session = session
        self._preparing, self._finding = JobSlot(owner), JobSlot(owner)
        self._wanted: tuple[ModelEntry, int] | None = None
        self._under_way: tuple[str, str] | None = None
        self._failed: tuple[str, str] | None = None
        self.problem = ""
        self.combo = narrow(widgets.ComboBox(choices=[(AUTOMATIC.title, AUTOMATIC)]))
        explain(self.combo, "Device", "The processor that does the work")
        form.row("Device", self.combo)
        self._settle = SettleTimer(owner, SETTLE_MS, self._prepare)
        self.combo.changed.connect(self._on_combo)

    @property
    def chosen(self) -> DeviceChoice:
        """The device the user chose."""
        device = self.combo.value
        return device if isinstance(device, DeviceChoice) else AUTOMATIC

    @property
    def preparing(self) -> bool:
        """Whether the model is being loaded and timed."""
        return self._preparing.running

    def key(self, entry: ModelEntry) -> tuple[str, str]:
        """What the session keeps a ready model under."""
        return str(entry.path), f"{self.chosen.id}/{self.chosen.backend}"

    def ready(self, entry: ModelEntry | None) -> ReadyModel | None:
        """The model loaded on the chosen device, None where it is not yet."""
        return None if entry is None else self._session.ready.get(self.key(entry))

    def expected(self, entry: ModelEntry | None, tiles: float) -> list[str]:
        """The time that some tiles take on the device, in words, as far as it is known."""
        ready = self.ready(entry)
        if ready is not None and isfinite(ready.tiles_per_s):
            return [f"about {duration_text(tiles / ready.tiles_per_s)}", ready.engine.device]
        return ["timing a few tiles…"] if self.preparing else []

    def remember(self, entry: ModelEntry, ready: ReadyModel) -> None:
        """Keep a ready model, with its speed in the last run; one of unknown speed is timed yet."""
        if isfinite(ready.tiles_per_s):
            self._session.ready[self.key(entry)] = ready

    def want(self, entry: ModelEntry, tile_px: int) -> None:
        """Get a model ready soon, unless it is or could not be."""
        self._offer_devices()
        under_way = self._under_way if self.preparing else None
        if self.ready(entry) is None and self.key(entry) not in (self._failed, under_way):
            self._wanted = entry, tile_px
            self._settle.start()

    def find(self) -> None:
        """Offer the devices there are, looked for in the background where nobody did yet."""
        self._offer_devices()
        if self._session.devices or self._finding.running:
            return

        def done(devices: list[Any]) -> None:
            self._session.devices = devices
            self._offer_devices()

        self._finding.start(
            find_devices,
            doing="looking for devices",
            on_done=done,
            on_failed=lambda _sentence: None,  # "automatic" stays, and says why it cannot
        )

    def stop(self) -> None:
        """Let go of work under way, before a run."""
        self._settle.stop()
        self._finding.abandon()
        self._preparing.abandon()
        self._wanted = None

    def _on_combo(self) -> None:
        self._failed, self.problem = None, ""
        self.changed.emit()

    def _offer_devices(self) -> None:
        if not self._session.devices or len(self.combo.choices) > 1:
            return
        choices = [(AUTOMATIC.title, AUTOMATIC)]
        titles = [device.title for device in self._session.devices]
        for device in self._session.devices:
            twice = titles.count(device.title) > 1
            title = f"{device.title}, {device.backend}" if twice else device.title
            choices.append((title, device))
        with self.combo.changed.blocked():
            self.combo.choices = choices

    def _prepare(self) -> None:
        if self._wanted is None:
            return
        (entry, tile_px), self._wanted = self._wanted, None
        key = self._under_way = self.key(entry)

        def done(prepared: PreparedModel) -> None:
            self.problem = ""
            self._session.devices = prepared.devices
            self._session.ready[key] = prepared.ready
            self._offer_devices()
            self.changed.emit()

        def failed(sentence: str) -> None:
            self._failed, self.problem = key, sentence
            self.changed.emit()

        self._preparing.start(
            prepare(entry.path, self.chosen, tile_px),
            doing="getting the model ready",
            on_done=done,
            on_failed=failed,
        )
        self.changed.emit()
