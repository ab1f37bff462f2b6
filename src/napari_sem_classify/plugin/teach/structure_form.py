"""*Show structure*: groups of tiles that look alike, of which classes can be made."""

from __future__ import annotations

from functools import partial

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.teach.looked import SeenTiles
from napari_sem_classify.core.teach.similar import NO_DATA, group_tiles, typical_of
from napari_sem_classify.plugin.forms.layout import Form, button, explain, slim
from napari_sem_classify.plugin.layers.look_layers import show_structure
from napari_sem_classify.plugin.teach.tile_look import TILES, Placed, TileLook, on_grid, places_of

MOST_GROUPS, GROUPS = 20, 6
GROUP_HINT = "Click a group to make a class of it."


class StructureForm:
    """A layer of groups, and a class of one of them, whose most typical tiles are suggested."""

    def __init__(self, look: TileLook) -> None:
        self._look = look
        self._groups: tuple[SeenTiles, NDArray[np.int64]] | None = None
        self.groups = slim(widgets.SpinBox(value=GROUPS, min=2, max=MOST_GROUPS), "00")
        explain(self.groups, "Groups", "Into how many groups of like tiles the image is divided")
        self.structure = button("Show structure", "Show tiles that look alike as groups")
        self.make = button("Make a class…", "Click a group: a class of its own, to be annotated")
        self.structure.changed.connect(self._on_structure)
        self.make.changed.connect(self._on_make)

    def lay(self, form: Form) -> None:
        """Put the controls into a form."""
        form.row("Groups", self.groups, self.structure)
        form.wide(self.make)

    def _on_structure(self) -> None:
        sight = self._look.sight
        if sight is not None:
            self._look.with_points(sight, self._group)

    def _group(self, seen: SeenTiles, placed: Placed) -> None:
        layer, points, count = self._look.teacher.layer, placed[1], int(self.groups.value)

        def done(found: NDArray[np.int64]) -> None:
            if layer is None or layer is not self._look.teacher.layer:
                return
            self._groups, self._look.shown_key = (seen, found), self._look.teacher.key
            infos = tuple(
                ClassInfo(f"group {number}", colour)
                for number, colour in enumerate(default_colours(count), start=1)
            )
            show_structure(self._look.viewer, layer, seen.grid, on_grid(seen, found + 1, 0), infos)
            self._look.note.say("")
            self.refresh()

        self._look.note.say("Grouping tiles…")
        self._look.working.start(
            lambda _context: group_tiles(points, count),
            doing="grouping tiles",
            on_done=done,
            on_failed=self._look.note.fail,
        )

    def _on_make(self) -> None:
        self._look.ask(GROUP_HINT, self._make_class)

    def _make_class(self, place: tuple[int, int]) -> None:
        """A class of the group at a tile; its most typical tiles are suggested."""
        if self._groups is None:
            return
        seen, groups = self._groups
        row = int(seen.rows_of(np.array([place[0] * seen.grid.tile_shape[1] + place[1]]))[0])
        if row < 0:
            self._look.note.warn(NO_DATA)
            return
        number = int(groups[row])
        book = self._look.teacher.book
        annotations, name = book.annotations, f"group {number + 1}"
        while name in annotations.class_names:
            name += "'"
        colour = default_colours(number + 1)[number]
        taken = {info.colour for info in annotations.classes}
        try:
            book.edit(annotations.with_class(name, None if colour in taken else colour))
        except SemClassifyError as error:
            self._look.note.fail(str(error))
            return
        self._suggest_typical(number, name)

    def _suggest_typical(self, number: int, name: str) -> None:
        sight = self._look.sight
        if sight is not None:
            self._look.with_points(sight, partial(self._suggest, number, name))

    def _suggest(self, number: int, name: str, seen: SeenTiles, placed: Placed) -> None:
        if self._groups is None or self._groups[0] is not seen:
            return
        open_ = self._look.open_tiles(seen)
        best = typical_of(placed[1], open_, self._groups[1] == number, TILES)
        again = partial(self._suggest_typical, number, name)
        self._look.start(places_of(seen, best), f"Typical of {name}", again)

    def refresh(self) -> None:
        """Bring the form up to date."""
        teacher = self._look.teacher
        known = teacher.key is not None and teacher.grid is not None
        self.structure.enabled = known
        groups = None if self._groups is None else self._groups[0]
        here = None if teacher.key is None else teacher.memory.looked.get(teacher.key)
        self.make.enabled = known and groups is not None and groups is here
        self.make.native.setVisible(self.make.enabled)  # no row for it before there are groups
