"""From annotations to a model, in the background: look at the tiles once, then fit at each change.

A change makes the fit under way stale: it is dropped, and a new one starts once the user pauses.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.annotate.place import full_plane, has_plane, plane_of
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.recipe import RecipeChoice
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot, SettleTimer
from napari_sem_classify.plugin.app.tasks import DeviceWish
from napari_sem_classify.plugin.teach import learning
from napari_sem_classify.plugin.teach.book import Book
from napari_sem_classify.plugin.teach.keeping import Lessons, save
from napari_sem_classify.plugin.teach.learning import Learned, Lesson, View
from napari_sem_classify.plugin.teach.looking import Looked, look
from napari_sem_classify.plugin.teach.memory import Memory

Sight = tuple[str, SemImage, TileGrid, NDArray[np.int64] | None]
"""What to look at: its key, the image, the tiles, and the only ones of them (None for all)."""

SETTLE_MS = 300
STOPPED = "Stopped: the annotations are kept; press Update map to go on."


class Learner:
    """Learns from a book of annotations.

    Attributes
    ----------
    changed : signal
        Something that the user sees is another than before.
    progressed : signal
        A `Progress` while the network looks at an image.
    drawn : signal
        A `ClassMap` of the image in view, without corrections.
    wish : DeviceWish
        The processor that looks at tiles.
    live : bool
        Whether each change is learned at once.
    status, problem : str
        For the user; "" where there is nothing to say.
    learned : Learned or None
        The last fit.
    out_of_date : bool
        Whether annotations changed since.
    """

    changed = Signal()
    progressed = Signal(Progress)
    drawn = Signal(ClassMap)

    def __init__(self, book: Book, memory: Memory, owner: QObject) -> None:
        self._book = book
        self._memory = memory
        self.live = True
        self.learned: Learned | None = None
        self.out_of_date = False
        self.status = self.problem = ""
        self._key: str | None = None
        self._image: SemImage | None = None
        self._grid: TileGrid | None = None
        self._looking, self._fitting = JobSlot(owner), JobSlot(owner)
        self._failed: set[tuple[str, TileGrid]] = set()
        self._paused = False
        self.wish = DeviceWish()
        self._strength, self._temperature = DEFAULT_STRENGTH, 1.0
        self._settle = SettleTimer(owner, SETTLE_MS, self.learn)

    def follow(self, key: str | None, image: SemImage | None, grid: TileGrid | None) -> None:
        """Draw the map of another image, or with other tiles."""
        if (key, grid) != (self._key, self._grid):
            self.stop()
            self.problem = ""
            self._paused = False
        self._key, self._image, self._grid = key, image, grid
        self.later()

    # ------------------------------------------------------------------ what there is to learn

    @property
    def tile_px(self) -> int:
        """Side of the tiles that are learned from."""
        return 0 if self._grid is None else self._grid.tile

    @property
    def annotated(self) -> set[str]:
        """Classes that have a tile of this size."""
        return {
            mark.class_name
            for image in self._book.annotations.images
            for place, mark in image.marks.items()
            if place[2] == self.tile_px
        }

    @property
    def teachable(self) -> bool:
        """Whether two classes have a tile of this size."""
        return len(self.annotated) >= 2

    def lesson(self) -> Lesson:
        """All annotated tiles with their features, as far as they were looked at."""
        memory = self._memory
        return learning.gather(self._book.annotations, memory.looked, self.tile_px, memory.recipe)

    def _not_yet(self) -> str:
        """Why nothing can be learned although something is annotated, in core's words, else ""."""
        annotated = self.annotated
        if len(annotated) != 1:
            return ""
        names = self._book.annotations.class_names
        try:
            check_teachable([int(name in annotated) for name in names], names)
        except AnnotationError as error:
            return str(error)
        return ""

    # ------------------------------------------------------------------ learning

    @property
    def looking(self) -> bool:
        """Whether the network is looking at an image."""
        return self._looking.running

    @property
    def busy(self) -> bool:
        """Whether the next map is on its way."""
        return self.looking or self._fitting.running or self._settle.isActive()

    def changed_annotations(self) -> None:
        """Hear that the annotations are others than before."""
        self.out_of_date = self.learned is not None
        self.status = self._not_yet()
        self.later()

    def later(self) -> None:
        """Learn once the user pauses, if that is wanted."""
        if self.live and not self._paused and self._grid is not None:
            self._fitting.abandon()
            self._settle.start()

    def update(self) -> None:
        """Learn now, whether live or not."""
        self._paused = False
        self._failed.clear()
        self.learn()

    def learn(self) -> None:
        """Look at what was not looked at yet, then fit, score and redraw the map."""
        self._settle.stop()
        self._fitting.abandon()
        self.status = self._not_yet()
        todo = self._to_look_at() if self.annotated else None
        if todo is not None:
            self.look(*todo, then=self.learn)
        elif self.teachable and self._key is not None:
            self._fit()
        self.changed.emit()

    def _to_look_at(self) -> Sight | None:
        """The image in view first, then other open ones with tiles of this size."""
        if self._key is None or self._grid is None or self._image is None:
            return None
        if not self.has_looked(self._key, self._grid):
            return self._key, self._image, self._grid, None
        for each in self._book.annotations.images:
            key = each.key
            image = self._memory.images.get(each.fingerprint)
            if image is None or not has_plane(image, each.plane):
                continue
            if not any(place[2] == self.tile_px for place in each.marks):
                continue
            grid = TileGrid(image.area, self.tile_px, self.tile_px)
            tiles = None
            if image.leading_shape:  # of planes out of view the annotated tiles are enough
                tiles = np.array(sorted(learning.tile_numbers(grid, each.marks).values()), int)
                if not len(tiles):
                    continue
            if not self.has_looked(key, grid, tiles) and (key, grid) not in self._failed:
                return key, image, grid, tiles
        return None

    def has_looked(self, key: str, grid: TileGrid, tiles: NDArray[np.int64] | None = None) -> bool:
        """Whether the network saw these tiles (None for all) of an image or plane."""
        looked = self._memory.looked.get(key)
        if looked is None or (looked.grid, looked.recipe) != (grid, self._memory.recipe):
            return False
        return looked.covers(tiles)

    def look(
        self,
        key: str,
        image: SemImage,
        grid: TileGrid,
        tiles: NDArray[np.int64] | None = None,
        *,
        then: Callable[[], None],
    ) -> None:
        """Let the network see an image or plane in the background, and go on from there."""
        if self.looking or (key, grid) in self._failed:
            return

        def done(looked: Looked) -> None:
            self._memory.looked[key] = looked
            self.changed.emit()
            then()

        def failed(sentence: str) -> None:
            self._failed.add((key, grid))
            self.problem = sentence
            self.changed.emit()

        def cancelled() -> None:
            self.status = STOPPED
            self.changed.emit()

        self._looking.start(
            look(image, grid, self._memory.recipe, self.wish, plane_of(key), tiles),
            doing=f"looking at {image.name}",
            on_done=done,
            on_failed=failed,
            on_cancelled=cancelled,
            on_progress=self.progressed.emit,
        )
        self.changed.emit()

    def use_recipe(self, choice: RecipeChoice) -> None:
        """Look at tiles in the chosen way from now on; the map follows."""
        changed = choice.recipe != self._memory.recipe
        self._memory.recipe, self._memory.choice = choice.recipe, choice
        if changed:
            self.stop()
            self.out_of_date = self.learned is not None
            self.update()

    def use_device(self, wish: DeviceWish) -> None:
        """Look at tiles on another processor from now on; what was seen stays."""
        self.wish = wish
        self._failed.clear()
        if self.looking:
            self.stop()
            self.later()

    def cancel(self) -> None:
        """Stop looking; nothing is learned until the user asks for it."""
        self._paused = True
        self._looking.cancel()

    def _fit(self) -> None:
        looked = self._memory.looked.get(self._key or "")
        view = None
        if (
            looked is not None
            and self._image is not None
            and self._grid is not None
            and (self.has_looked(self._key or "", self._grid))
        ):
            plane = full_plane(self._image, plane_of(self._key or ""))
            view = View(looked, self._image.name, self._image.pixel_size_nm, plane)

        # Neither changes any more: the thread reads them while the user paints on.
        annotations, seen, size = self._book.annotations, dict(self._memory.looked), self.tile_px
        recipe = self._memory.recipe

        def lesson_of() -> Lesson:
            return learning.gather(annotations, seen, size, recipe)

        def done(learned: Learned) -> None:
            self._strength = learned.taught.strength
            self._temperature = learned.temperature
            self._take(learned)

        def failed(sentence: str) -> None:
            self.problem = sentence
            self.changed.emit()

        self._fitting.start(
            learning.learn(lesson_of, view, self._strength, self._temperature),
            doing="learning from the annotations",
            on_done=done,
            on_failed=failed,
            on_published=self._take,
        )

    def _take(self, learned: Learned) -> None:
        self.problem = ""
        self.learned = learned
        self.out_of_date = False
        if learned.class_map is not None and learned.class_map.grid == self._grid:
            self.drawn.emit(learned.class_map)
        self.changed.emit()

    # ------------------------------------------------------------------ keeping and ending

    def save_task(self, path: Path, min_share: float) -> Callable[[JobContext], Path]:
        """The task that writes the model as it is taught now.

        Raises
        ------
        AnnotationError
            When a class has too few tiles.
        """
        last = None if self.out_of_date else self.learned
        lesson = self.lesson() if last is None else last.lesson
        memory = self._memory
        images = [memory.images[key] for key in lesson.keys if key in memory.images]
        looked = memory.looked.get(self._key or "")
        device = "" if looked is None else looked.device
        choice = memory.choice
        if choice is not None and choice.recipe != lesson.recipe:
            choice = None
        rules = list(self._book.rules.items())
        lessons = Lessons(lesson, images, rules, min_share, device, choice)
        return save(path, lessons, last)

    def stop(self) -> None:
        """Let go of all work under way."""
        self._settle.stop()
        self._fitting.abandon()
        self._looking.abandon()
