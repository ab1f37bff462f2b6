"""What looking before labelling needs: a click on a tile, and where tiles lie along their axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.annotate.place import TilePlace, place_of
from napari_sem_classify.core.teach.axes import Axes, find_axes
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.teach.similar import tile_at
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.forms.layout import Note
from napari_sem_classify.plugin.layers.clicks import ClickPlace
from napari_sem_classify.plugin.layers.layer_image import pixels_at
from napari_sem_classify.plugin.layers.look_layers import hide_looks
from napari_sem_classify.plugin.teach.teacher import Teacher

if TYPE_CHECKING:
    from napari.components import ViewerModel

TILES = 10
"""Suggested at a time."""

OUTSIDE = "That is not on the specimen: click a tile of it."

StartTour = Callable[[list[TilePlace], str, Callable[[], None]], None]
"""Goes from tile to tile; told the places, what they are, and what gives more of them."""

Placed = tuple[Axes, NDArray[np.float32]]
"""The axes of an image, and where its tiles lie along them."""


class TileLook:
    """The image in view, looked at before anything is labelled.

    Attributes
    ----------
    changed : signal
        Whether a click is waited for is another than before.
    note : Note
        What is going on, for the user.
    shown_key : str or None
        Of the image or plane that was last looked at.
    """

    changed = Signal()

    def __init__(
        self, teacher: Teacher, viewer: ViewerModel, start: StartTour, owner: QWidget
    ) -> None:
        self.teacher, self.viewer, self.start = teacher, viewer, start
        self.click = ClickPlace(viewer)
        self.working = JobSlot(owner)
        self.note = Note("Alike tiles and groups")
        self.shown_key: str | None = None
        self._placed: tuple[SeenTiles | None, Placed | None] = (None, None)

    @property
    def sight(self) -> Sight | None:
        """The image or plane in view, once it is known."""
        teacher = self.teacher
        if teacher.key is None or teacher.grid is None or teacher.image is None:
            return None
        return Sight(teacher.key, teacher.image, teacher.grid)

    def open_tiles(self, seen: SeenTiles) -> NDArray[np.bool_]:
        """Which of the tiles in view have no class yet, in the rows of `seen`."""
        here, names = self.teacher.here, self.teacher.book.annotations.class_names
        assert here is not None
        labels = here.tile_labels(seen.grid, names).labels.ravel()[seen.index]
        return np.asarray(labels == UNLABELLED)

    def ask(self, hint: str, then: Callable[[tuple[int, int]], None]) -> None:
        """Wait for a click on a tile, or where one is waited for, do so no more."""
        if self.click.active:
            self.stop()
            return
        layer, grid = self.teacher.layer, self.teacher.grid
        if layer is None or grid is None:
            return

        def clicked(position: Any) -> None:
            place = tile_at(grid, *pixels_at(layer, [position])[0].tolist())
            self.note.say("")
            self.changed.emit()
            if place is None:
                self.note.warn(OUTSIDE)
            else:
                then(place)

        self.click.start(layer, clicked)
        self.note.say(hint)
        self.changed.emit()

    def with_points(self, sight: Sight, then: Callable[[SeenTiles, Placed], None]) -> None:
        """Go on once it is known where all tiles lie along the axes: at once the next time."""
        teacher = self.teacher
        if teacher.key != sight.key:
            return
        if not teacher.learner.has_looked(sight):
            self.note.say("Looking at the tiles first…")
            teacher.learner.look(sight, then=partial(self.with_points, sight, then))
            return
        seen = teacher.memory.looked[sight.key]
        if self._placed[0] is seen and self._placed[1] is not None:
            self.note.say("")
            then(seen, self._placed[1])
            return

        def task(_context: Any) -> Placed:
            axes = find_axes(seen.features)
            return axes, axes.points(seen.features)

        def done(placed: Placed) -> None:
            self._placed = seen, placed
            self.with_points(sight, then)

        self.note.say("Comparing tiles…")
        self.working.start(task, doing="comparing tiles", on_done=done, on_failed=self.note.fail)

    def stop(self) -> None:
        """Ask for no click any more; a stack's layers speak of the plane that was left."""
        if self.click.active:
            self.click.stop()
            self.note.say("")
        teacher = self.teacher
        if teacher.plane and teacher.layer is not None and self.shown_key != teacher.key:
            hide_looks(self.viewer, teacher.layer)
        self.changed.emit()


def on_grid(seen: SeenTiles, values: NDArray[Any], without: Any) -> NDArray[Any]:
    """Values of tiles with data at their places, shape ``grid.tile_shape``."""
    found = np.full(seen.grid.n_tiles, without, dtype=values.dtype)
    found[seen.index] = values
    return found.reshape(seen.grid.tile_shape)


def places_of(seen: SeenTiles, rows: NDArray[np.int64]) -> list[TilePlace]:
    """Places of the tiles in some rows of what was seen."""
    cols = seen.grid.tile_shape[1]
    return [place_of(seen.grid, int(tile) // cols, int(tile) % cols) for tile in seen.index[rows]]
