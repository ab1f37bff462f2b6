"""*Find similar*: how alike all tiles are to one that is clicked, in all open images."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.annotate.place import fingerprint, is_of
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.teach.similar import NO_DATA, Sample, most_similar, similarity
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import SettleTimer
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.forms.layout import button
from napari_sem_classify.plugin.layers.layer_image import image_from_layer
from napari_sem_classify.plugin.layers.look_layers import show_alike
from napari_sem_classify.plugin.layers.made_layers import pictures_in
from napari_sem_classify.plugin.teach.tile_look import TILES, Placed, TileLook, on_grid, places_of

if TYPE_CHECKING:
    from napari.layers import Image

FIND, CANCEL = "Find similar", "Cancel"
FIND_HINT = "Click a tile of what you look for."
NO_CLASS = "Add a class to annotate the most alike tiles with its key."


class SimilarForm:
    """A click, a layer in each image, and the most alike tiles as suggestions.

    Attributes
    ----------
    find, go : PushButton
        For the form that it stands in.
    """

    def __init__(self, look: TileLook, owner: QWidget) -> None:
        self._look = look
        self._alike: dict[str, tuple[SeenTiles, NDArray[np.float32]]] = {}
        self._sample: Sample | None = None
        self._waiting: list[Sight] = []
        self._unknown: list[Image] = []  # images of the viewer that were never opened here
        self._stopped_before = False
        self._later = SettleTimer(owner, 0, self._next)
        self.find = button(FIND, "Click a tile: see how alike all others are, in all open images")
        self.go = button(
            "Go to alike", "Go to the most alike tiles that have no class, in this image"
        )
        self.find.changed.connect(self._on_find)
        self.go.changed.connect(self._suggest_alike)

    def _on_find(self) -> None:
        self._look.ask(FIND_HINT, self.find_at)

    def find_at(self, place: tuple[int, int]) -> None:
        """Show how alike all tiles are to the one at a row and column of the grid."""
        sight = self._look.sight
        self._waiting.clear()
        if sight is not None:
            number = place[0] * sight.grid.tile_shape[1] + place[1]
            self._look.with_points(sight, partial(self._found, sight, number))

    def _found(self, sight: Sight, number: int, seen: SeenTiles, placed: Placed) -> None:
        row = int(seen.rows_of(np.array([number]))[0])
        if row < 0:
            self._look.note.warn(NO_DATA)
            return
        axes, points = placed
        self._sample = Sample(axes, points[row])
        self._alike.clear()
        self._take_alike(sight, seen, similarity(points, points[row]))
        self._waiting = [each for each in self._others() if each.key != sight.key]
        known = [reference() for reference in self._look.teacher.memory.layers.values()]
        self._unknown = [layer for layer in pictures_in(self._look.viewer) if layer not in known]
        self._stopped_before = self._look.teacher.learner.paused
        self._look.shown_key = sight.key
        self._suggest_alike()
        self._next()

    def _take_alike(self, sight: Sight, seen: SeenTiles, values: NDArray[np.float32]) -> None:
        self._alike[sight.key] = seen, values
        self.refresh()
        for name, reference in self._look.teacher.memory.layers.items():
            layer = reference()
            if is_of(sight.key, name) and layer is not None and layer in self._look.viewer.layers:
                shown = on_grid(seen, values, np.nan)
                show_alike(self._look.viewer, cast("Image", layer), seen.grid, shown)

    def _suggest_alike(self) -> None:
        """Go to the most alike tiles of the image in view that have no class yet."""
        sight = self._look.sight
        if sight is None or sight.key not in self._alike:
            return
        seen, values = self._alike[sight.key]
        if seen.grid != sight.grid:
            return
        if not self._look.teacher.book.annotations.classes:
            self._look.note.say(NO_CLASS)
            return
        best = most_similar(values, self._look.open_tiles(seen), TILES)
        self._look.start(places_of(seen, best), "Alike", self._suggest_alike)

    def _others(self) -> list[Sight]:
        """The other images that were opened in this form, with the same tiles."""
        memory, tile = self._look.teacher.memory, self._look.teacher.learner.tile_px
        return [
            Sight(key, image, TileGrid(image.area, tile, tile))
            for key, image in memory.images.items()
            if not image.leading_shape
        ]

    def _next(self) -> None:
        """Go on with the next of the other images, once nothing else is under way."""
        learner, sample = self._look.teacher.learner, self._sample
        if learner.looking or self._look.working.running or sample is None:
            return
        if not self._waiting:
            if self._unknown:
                self._open_image(self._unknown.pop(0))
            return
        sight = self._waiting[0]
        if sight.key not in self._look.teacher.memory.images:  # closed meanwhile
            self._waiting.pop(0)
            self._later.start()
            return
        if not learner.has_looked(sight):
            self._look.note.say(f"Looking at {sight.image.name}…")
            learner.look(sight, then=self._next)
            if not learner.looking:  # it cannot be looked at, as was told
                self._waiting.pop(0)
                self._later.start()
            return
        self._waiting.pop(0)
        seen = self._look.teacher.memory.looked[sight.key]

        def done(values: NDArray[np.float32]) -> None:
            self._take_alike(sight, seen, values)
            self._look.note.say("")

        self._look.working.start(
            lambda _context: sample.similarity(seen.features),
            doing="comparing tiles",
            on_done=done,
            on_failed=self._look.note.fail,
            on_end=self._later.start,
        )

    def _open_image(self, layer: Image) -> None:
        """Get to know an image of the viewer, as it is when it comes into view here."""
        memory, tile = self._look.teacher.memory, self._look.teacher.learner.tile_px
        known = session_of(self._look.viewer).images.get(layer)

        def task(_context: Any) -> tuple[str, Sight | None]:
            image = known or image_from_layer(layer)
            key = fingerprint(image)
            if image.leading_shape:
                return key, None
            return key, Sight(key, image, TileGrid(image.area, tile, tile))

        def done(found: tuple[str, Sight | None]) -> None:
            key, sight = found
            if sight is not None and layer in self._look.viewer.layers:
                memory.images.setdefault(key, sight.image)
                memory.layers.setdefault(key, weakref.ref(layer))
                self._waiting.append(sight)

        self._look.working.start(
            task,
            doing="looking at another image",
            on_done=done,
            on_failed=self._look.note.fail,
            on_end=self._later.start,
        )

    def refresh(self) -> None:
        """Bring the form up to date."""
        teacher = self._look.teacher
        known = teacher.key is not None and teacher.grid is not None
        self.find.text = CANCEL if self._look.click.active else FIND
        self.find.enabled = known
        alike = None if teacher.key is None else self._alike.get(teacher.key)
        self.go.enabled = known and alike is not None and alike[0].grid == teacher.grid
        self.go.native.setVisible(self.go.enabled)  # nothing to go to before a tile was clicked
        if teacher.learner.paused and not self._stopped_before:
            self._waiting, self._unknown = [], []
        if self._waiting or self._unknown:
            self._later.start()
