"""From annotations to a model, in the background: look at the tiles once, then fit at each change.

A change makes the fit under way stale: it is dropped, and a new one starts once the user pauses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sem_classify.core.annotate.annotation import check_teachable
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.recipe import Recipe, RecipeChoice
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings, surroundings_for
from napari_sem_classify.core.network.engine.devices import AUTOMATIC, DeviceChoice
from napari_sem_classify.core.teach.learn import Learned, View, learn
from napari_sem_classify.core.teach.learn_further import learn_further
from napari_sem_classify.core.teach.lesson import Lesson, gather
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH
from napari_sem_classify.core.teach.looked import SeenTiles, Sight, look, sights_of
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.teach.turned import SeenCopies, look_at_missing
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.plugin.app.jobs import JobContext, JobSlot, SettleTimer
from napari_sem_classify.plugin.teach.book import Book, Memory
from napari_sem_classify.plugin.teach.start import Start

SETTLE_MS = 300
STOPPED = "Stopped: the annotations are kept; press Update map to go on."


class Learner:
    """Learns from a book of annotations.

    Attributes
    ----------
    changed : signal
        Something that the user sees is another than before.
    progressed : signal
        While the network looks at an image.
    drawn : signal
        A map of the image in view, without corrections.
    wish : DeviceChoice
        The processor that looks at tiles.
    surroundings : tuple of Surroundings
        What of a tile's surroundings may count.
    live : bool
        Whether each change is learned at once.
    start : Start or None
        The model to teach further; None for a new one.
    status, problem : str
        For the user; "" where there is nothing to say.
    learned : Learned or None
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
        self.start: Start | None = None
        self.learned: Learned | None = None
        self.out_of_date = False
        self.status = self.problem = ""
        self._key: str | None = None
        self._image: SemImage | None = None
        self._grid: TileGrid | None = None
        self._looking, self._fitting = JobSlot(owner), JobSlot(owner)
        self._turning = JobSlot(owner)
        self._failed: set[tuple[str, TileGrid]] = set()
        self._paused = False
        self.wish = AUTOMATIC
        self.surroundings = surroundings_for()
        self._strength, self._temperature, self._before = DEFAULT_STRENGTH, 1.0, ALONE
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
    def _in_view(self) -> Sight | None:
        if self._key is None or self._image is None or self._grid is None:
            return None
        return Sight(self._key, self._image, self._grid)

    @property
    def tile_px(self) -> int:
        """Side of the tiles that are learned from."""
        return 0 if self._grid is None else self._grid.tile

    @property
    def recipe(self) -> Recipe:
        """How the network looks at tiles."""
        return self._memory.recipe if self.start is None else self.start.recipe

    @property
    def annotations(self) -> Annotations:
        """Those that teach: all of them, or what is new to the model to start from."""
        said = self._book.annotations
        return said if self.start is None else self.start.new(said)

    @property
    def annotated(self) -> set[str]:
        """Classes that have a tile of this size."""
        return {
            mark.class_name
            for image in self.annotations.images
            for place, mark in image.marks.items()
            if place[2] == self.tile_px
        }

    @property
    def teachable(self) -> bool:
        """Whether two classes have a tile of this size, or a model is there to start from."""
        return self.start is not None or len(self.annotated) >= 2

    @property
    def learned_from(self) -> int:
        """Tiles that the model learned from, those of the model to start from too."""
        before = 0 if self.start is None else self.start.tiles
        return before + (0 if self.learned is None else len(self.learned.lesson.labels))

    @property
    def options(self) -> TeachOptions:
        """What there is to choose, as it is chosen here; every painted tile is learned from."""
        return TeachOptions(
            self.tile_px,
            recipes=(self.recipe,),
            device=self.wish.id,
            backend=self.wish.backend,
            surroundings=self.surroundings,
            strength=self._strength,
            temperature=self._temperature,
            before=self._before,
            max_tiles_per_class=None,
        )

    def lesson(self) -> Lesson:
        """All annotated tiles with their features, as far as they were looked at."""
        memory, copies = self._memory, self._memory.copies if self.start is None else None
        return gather(self.annotations, memory.looked, self.tile_px, self.recipe, copies)

    def _not_yet(self) -> str:
        """Why what is annotated teaches nothing, or some of it, else ""."""
        if self.start is not None:
            return self.start.said(self._book.annotations)
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
        working = self.looking or self._fitting.running or self._turning.running
        return working or self._settle.isActive()

    @property
    def paused(self) -> bool:
        """Whether the user stopped the work until she asks for it."""
        return self._paused

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
        todo = self._to_look_at() if self.annotated or self.start is not None else None
        if todo is not None:
            self.look(todo, then=self.learn)
        elif self.teachable and self._key is not None:
            self._fit()
        self.changed.emit()

    def _to_look_at(self) -> Sight | None:
        """The image in view first, then other open ones with tiles of this size."""
        here = self._in_view
        if here is None or not self.has_looked(here):
            return here
        images = self._memory.images
        for sight in sights_of(self.annotations, images, self.tile_px, around=True):
            if not sight.image.leading_shape:
                sight = replace(sight, tiles=None, sample=None)  # of planes a part is enough
            if not self.has_looked(sight) and (sight.key, sight.grid) not in self._failed:
                return sight
        return None

    def has_looked(self, sight: Sight) -> bool:
        """Whether the network saw these tiles of an image or plane."""
        seen = self._memory.looked.get(sight.key)
        if seen is None or (seen.grid, seen.recipe) != (sight.grid, self.recipe):
            return False
        return seen.covers(sight.tiles)

    def look(self, sight: Sight, *, then: Callable[[], None]) -> None:
        """Let the network see an image or plane in the background, and go on from there."""
        if self.looking or (sight.key, sight.grid) in self._failed:
            return
        options = self.options

        def task(context: JobContext) -> SeenTiles:
            context.tell(Progress(0, 0, "Getting the network ready"))
            recipe = options.recipes[0]
            engine = options.engine(recipe)
            context.check()
            return look(sight, recipe, engine, context, cached=True)  # the next time it is known

        def done(seen: SeenTiles) -> None:
            self._memory.looked[sight.key] = seen
            self.changed.emit()
            then()

        def failed(sentence: str) -> None:
            self._failed.add((sight.key, sight.grid))
            self._fail(sentence)

        def cancelled() -> None:
            self.status = STOPPED
            self.changed.emit()

        self._looking.start(
            task,
            doing=f"looking at {sight.image.name}",
            on_done=done,
            on_failed=failed,
            on_cancelled=cancelled,
            on_progress=self.progressed.emit,
        )
        self.changed.emit()

    def use_start(self, start: Start | None) -> None:
        """Teach another model further from now on, or a new one where there is none."""
        self.stop()
        self.start, self.learned, self.out_of_date = start, None, False
        self.changed.emit()
        self.update()

    def use_recipe(self, choice: RecipeChoice) -> None:
        """Look at tiles in the chosen way from now on; the map follows."""
        changed = choice.recipe != self._memory.recipe
        self._memory.recipe, self._memory.choice = choice.recipe, choice
        if changed:
            self.stop()
            self.out_of_date = self.learned is not None
            self.update()

    def use_surroundings(self, wished: tuple[Surroundings, ...]) -> None:
        """Let other surroundings of a tile count from now on; the map follows."""
        self.surroundings = wished
        if self._before not in wished:
            self._before = wished[0]
        self.out_of_date = self.learned is not None
        self.later()
        self.changed.emit()

    def use_device(self, wish: DeviceChoice) -> None:
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
        view, options = self._view(), self.options
        # None changes any more: the thread reads them while the user paints on.
        annotations, seen = self.annotations, dict(self._memory.looked)
        start, copies = self.start, dict(self._memory.copies) if self.start is None else None

        def task(context: JobContext) -> Learned:
            def lesson_of() -> Lesson:
                return gather(annotations, seen, options.tile_px, options.recipes[0], copies)

            if start is not None:
                return learn_further(start.classifier, lesson_of, view, context)
            return learn(lesson_of, view, options, context, context.publish)

        self._fitting.start(
            task,
            doing="learning from the annotations",
            on_done=self._take,
            on_failed=self._fail,
            on_published=self._take,
        )

    def _turn(self) -> None:
        """Look at copies of the annotated tiles in the background; the next fit takes them."""
        options, known = self.options, self._memory.copies
        if not options.turned or self._turning.running:
            return
        annotations = self._book.annotations
        sights = sights_of(annotations, dict(self._memory.images), options.tile_px)

        def task(context: JobContext) -> dict[str, SeenCopies]:
            recipe = options.recipes[0]
            return look_at_missing(
                annotations, sights, known, recipe, lambda: options.engine(recipe), context
            )

        def done(found: dict[str, SeenCopies]) -> None:
            self._memory.copies = found
            fresh = any(found[key] is not known.get(key) for key in found)
            if fresh and self.live and not self._paused and not self._fitting.running:
                self._settle.start()

        self._turning.start(
            task, doing="looking at tiles with other settings", on_done=done, on_failed=self._fail
        )

    def _view(self) -> View | None:
        """The image or plane to draw a map of, once the network saw it."""
        sight = self._in_view
        if sight is None or not self.has_looked(sight):
            return None
        return sight, self._memory.looked[sight.key]

    def _fail(self, sentence: str) -> None:
        self.problem = sentence
        self.changed.emit()

    def _take(self, learned: Learned) -> None:
        taught = learned.taught
        if self.start is None:
            self._strength, self._temperature = taught.strength, taught.temperature
            self._before = taught.surroundings
        self.problem = ""
        self.learned = learned
        self.out_of_date = False
        if learned.class_map is not None and learned.class_map.grid == self._grid:
            self.drawn.emit(learned.class_map)
        self.changed.emit()
        if learned.scored and self.start is None:
            self._turn()

    # ------------------------------------------------------------------ ending

    def stop(self) -> None:
        """Let go of all work under way."""
        self._settle.stop()
        self._fitting.abandon()
        self._looking.abandon()
        self._turning.abandon()
