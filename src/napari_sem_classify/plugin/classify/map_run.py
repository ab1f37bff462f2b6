"""A run of *Classify* on one image: its task, its layers, how it ended, what is left of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.model.catalogue import ModelEntry
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.app.session import ReadyModel
from napari_sem_classify.plugin.app.text import count_text, duration_text
from napari_sem_classify.plugin.classify.result_form import ResultForm
from napari_sem_classify.plugin.classify.run import (
    ClassifyResult,
    Filling,
    approximation,
    arithmetic,
    classify_task,
)
from napari_sem_classify.plugin.forms.layout import Form, button
from napari_sem_classify.plugin.forms.run_form import RunForm
from napari_sem_classify.plugin.layers.run_layers import RunLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_sem_classify.core.image.sem_image import SemImage


@dataclass(frozen=True, slots=True, eq=False)
class MapWish:
    """What to classify and with what."""

    layer: Image
    image: SemImage
    entry: ModelEntry
    chosen: ChosenTiles
    options: ClassifyOptions
    ready: ReadyModel | None


class MapRun:
    """One run at a time.

    Attributes
    ----------
    done : signal
        Tells the wish and the result of a run that was finished.
    ended : signal
        A run is over, however it ended.
    keep : PushButton
        After a cancelled run: makes a map of the tiles that were done.
    """

    done = Signal(object, object)
    ended = Signal()

    def __init__(
        self, viewer: ViewerModel, owner: QWidget, foot: Form, result_form: ResultForm
    ) -> None:
        self._viewer = viewer
        self._result_form = result_form
        self._slot = JobSlot(owner)
        self._layers: RunLayers | None = None
        self._wish: MapWish | None = None
        self._filled: dict[tuple[int, ...], NDArray[np.bool_]] = {}
        self.keep = button(
            "Keep the part that is done",
            "Show the tiles that are done as a map; Classify goes on from there",
        )
        foot.wide(self.keep)
        self.form = RunForm(foot, "Classify", "Classify all tiles and show the map")
        self.keep.changed.connect(self._keep)
        self.form.cancelled.connect(self.cancel)
        self._offer(False)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._slot.running

    def start(self, wish: MapWish) -> None:
        """Classify; the map appears as it fills."""
        self._wish, self._filled = wish, {}
        self._offer(False)
        self._layers = RunLayers(self._viewer, wish.layer, wish.image.leading_shape)
        self.form.start()
        self._slot.start(
            classify_task(wish.image, wish.chosen, wish.options, wish.entry.path, wish.ready),
            doing=f"classifying {wish.image.name}",
            on_done=self._done,
            on_failed=self._failed,
            on_cancelled=self._cancelled,
            on_progress=self.form.tell,
            on_published=self._published,
        )

    def cancel(self) -> None:
        """Stop the run; what was there before stays."""
        if self.running:
            self.form.cancelling()
            self._slot.cancel()

    def stop(self) -> None:
        """The dock goes: no half map stays, and nobody is told."""
        self._slot.abandon()
        layers, self._layers = self._layers, None
        if layers is not None:
            layers.discard()

    def forget(self) -> None:
        """Offer no part of an earlier run any more: something else is chosen."""
        if not self.running and self._wish is not None:
            self._wish = None
            self._offer(False)

    def on_removed(self, layer: Layer) -> None:
        """A layer was taken out of the viewer."""
        if self._layers is not None and self._layers.needs(layer):
            self.cancel()
        elif self._wish is not None and layer is self._wish.layer:
            self.forget()

    # ------------------------------------------------------------------ while it runs

    def _published(self, so_far: Filling) -> None:
        class_map, tiles = so_far.map.class_map, so_far.tiles
        if tiles is None:
            tiles = np.ones(class_map.grid.tile_shape, np.bool_)
        self._filled[class_map.plane] = tiles
        if self._layers is not None:
            self._layers.show(so_far.map)
            self._result_form.show_shares(so_far.map.shares, so_far.map.class_map.grid)

    # ------------------------------------------------------------------ how it ended

    def _done(self, result: ClassifyResult) -> None:
        wish = self._wish
        if self._layers is None or wish is None or not self._layers.image_is_there:
            self._cancelled()
            return
        self._layers.finish(result.maps)
        self._layers = None
        self.form.idle()
        self.done.emit(wish, result)
        self.ended.emit()
        maps = [each.class_map for each in result.maps.values()]
        tiles = sum(int(each.record["tiles"]["classified"]) for each in maps)
        self.form.message.say(
            f"Done: {count_text(tiles)} tiles in {duration_text(result.seconds)} on "
            f"{result.ready.engine.device}.{arithmetic(maps)}{approximation(maps)}"
        )

    def _cancelled(self) -> None:
        gone = self._layers is not None and not self._layers.image_is_there
        part = None if gone else self._part()
        self._end()
        if gone:
            self.form.message.say("Stopped: the image was removed.")
        elif part is None:
            self.form.message.say("Cancelled: nothing was changed.")
        else:
            self.form.message.say(
                f"Cancelled: nothing was changed. {_tiles_text(part)} are done; Classify goes on "
                "from there."
            )
            self._offer(True)

    def _failed(self, sentence: str) -> None:
        self._end()
        self.form.message.fail(sentence)

    def _end(self) -> None:
        if self._layers is not None:
            self._layers.discard()
        self._layers = None
        self.form.idle()
        self.ended.emit()

    # ------------------------------------------------------------------ a part of a map

    def _part(self) -> ChosenTiles | None:
        """The tiles that are done: of a stack the planes that are, else those of the first."""
        wish, filled = self._wish, self._filled
        # Blocks of a fine map that are done are not kept anywhere.
        if wish is None or wish.options.dense or not any(each.any() for each in filled.values()):
            return None
        wanted = wish.chosen.keep
        whole = [plane for plane, tiles in filled.items() if _covers(tiles, wanted)]
        if whole:
            return replace(wish.chosen, planes=tuple(whole))
        plane, tiles = next(iter(filled.items()))
        return replace(wish.chosen, keep=tiles, planes=(plane,))

    def _keep(self) -> None:
        wish, part = self._wish, self._part()
        if wish is not None and part is not None and not self.running:
            self.start(replace(wish, chosen=part))

    def _offer(self, on: bool) -> None:
        self.keep.native.setVisible(on)


def _covers(tiles: NDArray[np.bool_], wanted: NDArray[np.bool_] | None) -> bool:
    return bool(tiles.all() if wanted is None else tiles[wanted].all())


def _tiles_text(part: Any) -> str:
    keep = part.keep
    tiles = part.grid.n_tiles if keep is None else int(keep.sum())
    return f"{count_text(tiles * len(part.planes))} tiles"
