"""Look before labelling: tiles like one that is clicked, and groups of tiles that look alike."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.annotate.annotation import UNLABELLED
from napari_sem_classify.core.annotate.place import TilePlace, fingerprint, is_of, place_of
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.teach.axes import Axes, find_axes
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.teach.similar import (
    NO_DATA,
    Sample,
    group_tiles,
    most_similar,
    similarity,
    tile_at,
    typical_of,
)
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import JobSlot, SettleTimer
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, slim
from napari_sem_classify.plugin.layers.clicks import ClickPlace
from napari_sem_classify.plugin.layers.layer_image import image_from_layer, pixels_at
from napari_sem_classify.plugin.layers.look_layers import hide_looks, show_alike, show_structure
from napari_sem_classify.plugin.layers.made_layers import pictures_in
from napari_sem_classify.plugin.teach.teacher import Teacher

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

MOST_GROUPS, GROUPS = 20, 6
ALIKE_TILES = 10
FIND, CANCEL = "Find similar", "Cancel"
FIND_HINT = "Click a tile of what you look for."
GROUP_HINT = "Click a group to make a class of it."
OUTSIDE = "That is not on the specimen: click a tile of it."
NO_CLASS = "Add a class to annotate the most alike tiles with its key."

StartTour = Callable[[list[TilePlace], str, Callable[[], None]], None]
"""Goes from tile to tile; told the places, what they are, and what gives more of them."""

Placed = tuple[Axes, NDArray[np.float32]]
"""The axes of an image, and where its tiles lie along them."""


class LookForm:
    """*Find similar* and *Show structure*; what they find becomes suggestions."""

    def __init__(
        self, teacher: Teacher, viewer: ViewerModel, start: StartTour, form: Form, owner: QWidget
    ) -> None:
        self._teacher, self._viewer, self._start = teacher, viewer, start
        self._click = ClickPlace(viewer)
        self._working = JobSlot(owner)
        self._placed: tuple[SeenTiles | None, Placed | None] = (None, None)
        self._alike: dict[str, tuple[SeenTiles, NDArray[np.float32]]] = {}
        self._groups: tuple[SeenTiles, NDArray[np.int64]] | None = None
        self._sample: Sample | None = None
        self._waiting: list[Sight] = []
        self._unknown: list[Image] = []  # images of the viewer that were never opened here
        self._shown_key: str | None = None
        self._stopped_before = False
        self._later = SettleTimer(owner, 0, self._next)
        self.find = button(FIND, "Click a tile: see how alike all others are, in all open images")
        self.go = button(
            "Go to alike", "Go to the most alike tiles that have no class, in this image"
        )
        self.groups = slim(widgets.SpinBox(value=GROUPS, min=2, max=MOST_GROUPS), "00")
        explain(self.groups, "Groups", "Into how many groups of like tiles the image is divided")
        self.structure = button("Show structure", "Show tiles that look alike as groups")
        self.make = button("Make a class…", "Click a group: a class of its own, to be annotated")
        self.note = Note("Alike tiles and groups")
        form.row("Similar", self.find, self.go)
        form.row("Groups", self.groups, self.structure, self.make)
        form.wide(self.note)
        self.find.changed.connect(self._on_find)
        self.go.changed.connect(self._suggest_alike)
        self.structure.changed.connect(self._on_structure)
        self.make.changed.connect(self._on_make)

    # ------------------------------------------------------------------ find similar

    def _on_find(self) -> None:
        if self._click.active:
            self.stop()
        else:
            self._ask(FIND_HINT, self.find_at)

    def find_at(self, place: tuple[int, int]) -> None:
        """Show how alike all tiles are to the one at a row and column of the grid."""
        sight = self._sight
        self._waiting.clear()
        if sight is not None:
            number = place[0] * sight.grid.tile_shape[1] + place[1]
            self._with_points(sight, partial(self._found, sight, number))

    def _found(self, sight: Sight, number: int, seen: SeenTiles, placed: Placed) -> None:
        row = int(seen.rows_of(np.array([number]))[0])
        if row < 0:
            self.note.warn(NO_DATA)
            return
        axes, points = placed
        self._sample = Sample(axes, points[row])
        self._alike.clear()
        self._take_alike(sight, seen, similarity(points, points[row]))
        self._waiting = [each for each in self._others() if each.key != sight.key]
        known = [reference() for reference in self._teacher.memory.layers.values()]
        self._unknown = [layer for layer in pictures_in(self._viewer) if layer not in known]
        self._stopped_before = self._teacher.learner.paused
        self._shown_key = sight.key
        self._suggest_alike()
        self._next()

    def _take_alike(self, sight: Sight, seen: SeenTiles, values: NDArray[np.float32]) -> None:
        self._alike[sight.key] = seen, values
        self.refresh()
        for name, reference in self._teacher.memory.layers.items():
            layer = reference()
            if is_of(sight.key, name) and layer is not None and layer in self._viewer.layers:
                shown = _on_grid(seen, values, np.nan)
                show_alike(self._viewer, cast("Image", layer), seen.grid, shown)

    def _suggest_alike(self) -> None:
        """Go to the most alike tiles of the image in view that have no class yet."""
        sight = self._sight
        if sight is None or sight.key not in self._alike:
            return
        seen, values = self._alike[sight.key]
        if seen.grid != sight.grid:
            return
        if not self._teacher.book.annotations.classes:
            self.note.say(NO_CLASS)
            return
        best = most_similar(values, self._open(seen), ALIKE_TILES)
        self._start(_places(seen, best), "Alike", self._suggest_alike)

    def _others(self) -> list[Sight]:
        """The other images that were opened in this form, with the same tiles."""
        memory, tile = self._teacher.memory, self._teacher.learner.tile_px
        return [
            Sight(key, image, TileGrid(image.area, tile, tile))
            for key, image in memory.images.items()
            if not image.leading_shape
        ]

    def _next(self) -> None:
        """Go on with the next of the other images, once nothing else is under way."""
        learner, sample = self._teacher.learner, self._sample
        if learner.looking or self._working.running or sample is None:
            return
        if not self._waiting:
            if self._unknown:
                self._open_image(self._unknown.pop(0))
            return
        sight = self._waiting[0]
        if not learner.has_looked(sight):
            self.note.say(f"Looking at {sight.image.name}…")
            learner.look(sight, then=self._next)
            if not learner.looking:  # it cannot be looked at, as was told
                self._waiting.pop(0)
                self._later.start()
            return
        self._waiting.pop(0)
        seen = self._teacher.memory.looked[sight.key]

        def done(values: NDArray[np.float32]) -> None:
            self._take_alike(sight, seen, values)
            self.note.say("")

        self._working.start(
            lambda _context: sample.similarity(seen.features),
            doing="comparing tiles",
            on_done=done,
            on_failed=self.note.fail,
            on_end=self._later.start,
        )

    def _open_image(self, layer: Image) -> None:
        """Get to know an image of the viewer, as it is when it comes into view here."""
        memory, tile = self._teacher.memory, self._teacher.learner.tile_px
        known = session_of(self._viewer).images.get(layer)

        def task(_context: Any) -> tuple[str, Sight | None]:
            image = known or image_from_layer(layer)
            key = fingerprint(image)
            if image.leading_shape:
                return key, None
            return key, Sight(key, image, TileGrid(image.area, tile, tile))

        def done(found: tuple[str, Sight | None]) -> None:
            key, sight = found
            if sight is not None and layer in self._viewer.layers:
                memory.images.setdefault(key, sight.image)
                memory.layers.setdefault(key, weakref.ref(layer))
                self._waiting.append(sight)

        self._working.start(
            task,
            doing="looking at another image",
            on_done=done,
            on_failed=self.note.fail,
            on_end=self._later.start,
        )

    # ------------------------------------------------------------------ structure

    def _on_structure(self) -> None:
        sight = self._sight
        if sight is not None:
            self._with_points(sight, self._group)

    def _group(self, seen: SeenTiles, placed: Placed) -> None:
        layer, points, count = self._teacher.layer, placed[1], int(self.groups.value)

        def done(found: NDArray[np.int64]) -> None:
            if layer is None or layer is not self._teacher.layer:
                return
            self._groups, self._shown_key = (seen, found), self._teacher.key
            infos = tuple(
                ClassInfo(f"group {number}", colour)
                for number, colour in enumerate(default_colours(count), start=1)
            )
            show_structure(self._viewer, layer, seen.grid, _on_grid(seen, found + 1, 0), infos)
            self.note.say("")
            self.refresh()

        self.note.say("Grouping tiles…")
        self._working.start(
            lambda _context: group_tiles(points, count),
            doing="grouping tiles",
            on_done=done,
            on_failed=self.note.fail,
        )

    def _on_make(self) -> None:
        if self._click.active:
            self.stop()
        else:
            self._ask(GROUP_HINT, self._make_class)

    def _make_class(self, place: tuple[int, int]) -> None:
        """A class of the group at a tile; its most typical tiles are suggested."""
        if self._groups is None:
            return
        seen, groups = self._groups
        row = int(seen.rows_of(np.array([place[0] * seen.grid.tile_shape[1] + place[1]]))[0])
        if row < 0:
            self.note.warn(NO_DATA)
            return
        number = int(groups[row])
        book = self._teacher.book
        annotations, name = book.annotations, f"group {number + 1}"
        while name in annotations.class_names:
            name += "'"
        colour = default_colours(number + 1)[number]
        taken = {info.colour for info in annotations.classes}
        try:
            book.edit(annotations.with_class(name, None if colour in taken else colour))
        except SemClassifyError as error:
            self.note.fail(str(error))
            return
        self._suggest_typical(number, name)

    def _suggest_typical(self, number: int, name: str) -> None:
        sight = self._sight
        if sight is None or self._groups is None or self._placed[1] is None:
            return
        seen, groups = self._groups
        if seen is not self._placed[0]:
            return
        points = self._placed[1][1]
        best = typical_of(points, self._open(seen), groups == number, ALIKE_TILES)
        again = partial(self._suggest_typical, number, name)
        self._start(_places(seen, best), f"Typical of {name}", again)

    # ------------------------------------------------------------------ shared

    @property
    def _sight(self) -> Sight | None:
        teacher = self._teacher
        if teacher.key is None or teacher.grid is None or teacher.image is None:
            return None
        return Sight(teacher.key, teacher.image, teacher.grid)

    def _open(self, seen: SeenTiles) -> NDArray[np.bool_]:
        """Which of the tiles in view have no class yet, in the rows of `seen`."""
        here, names = self._teacher.here, self._teacher.book.annotations.class_names
        assert here is not None
        labels = here.tile_labels(seen.grid, names).labels.ravel()[seen.index]
        return np.asarray(labels == UNLABELLED)

    def _ask(self, hint: str, then: Callable[[tuple[int, int]], None]) -> None:
        """Wait for a click on a tile."""
        layer, grid = self._teacher.layer, self._teacher.grid
        if layer is None or grid is None:
            return

        def clicked(position: Any) -> None:
            place = tile_at(grid, *pixels_at(layer, [position])[0].tolist())
            self.note.say("")
            self.refresh()
            if place is None:
                self.note.warn(OUTSIDE)
            else:
                then(place)

        self._click.start(layer, clicked)
        self.note.say(hint)
        self.refresh()

    def _with_points(self, sight: Sight, then: Callable[[SeenTiles, Placed], None]) -> None:
        """Go on once it is known where all tiles lie along the axes: at once the next time."""
        teacher = self._teacher
        if teacher.key != sight.key:
            return
        if not teacher.learner.has_looked(sight):
            self.note.say("Looking at the tiles first…")
            teacher.learner.look(sight, then=partial(self._with_points, sight, then))
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
            self._with_points(sight, then)

        self.note.say("Comparing tiles…")
        self._working.start(task, doing="comparing tiles", on_done=done, on_failed=self.note.fail)

    def refresh(self) -> None:
        """Bring the form up to date."""
        teacher = self._teacher
        known = teacher.key is not None and teacher.grid is not None
        self.find.text = CANCEL if self._click.active else FIND
        self.find.enabled = self.structure.enabled = known
        alike = None if teacher.key is None else self._alike.get(teacher.key)
        self.go.enabled = known and alike is not None and alike[0].grid == teacher.grid
        groups = None if self._groups is None else self._groups[0]
        here = None if teacher.key is None else teacher.memory.looked.get(teacher.key)
        self.make.enabled = known and groups is not None and groups is here
        if teacher.learner.paused and not self._stopped_before:
            self._waiting, self._unknown = [], []
        if self._waiting or self._unknown:
            self._later.start()

    def stop(self) -> None:
        """Ask for no click any more; a stack's layers speak of the plane that was left."""
        if self._click.active:
            self._click.stop()
            self.note.say("")
        teacher = self._teacher
        if teacher.plane and teacher.layer is not None and self._shown_key != teacher.key:
            hide_looks(self._viewer, teacher.layer)
        self.refresh()


def _on_grid(seen: SeenTiles, values: NDArray[Any], without: Any) -> NDArray[Any]:
    """Values of tiles with data at their places, shape ``grid.tile_shape``."""
    found = np.full(seen.grid.n_tiles, without, dtype=values.dtype)
    found[seen.index] = values
    return found.reshape(seen.grid.tile_shape)


def _places(seen: SeenTiles, rows: NDArray[np.int64]) -> list[TilePlace]:
    cols = seen.grid.tile_shape[1]
    return [place_of(seen.grid, int(tile) // cols, int(tile) % cols) for tile in seen.index[rows]]
