"""What the worker threads of a batch do. Nothing here knows a widget, a layer or a viewer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_sem_classify.core.batch.batch_outcome import BatchReport, ImageOutcome
from napari_sem_classify.core.batch.batch_plan import (
    BatchPlan,
    Looked,
    finished_before,
    images_to_classify,
    look_at,
    plan_batch,
)
from napari_sem_classify.core.batch.batch_state import BatchTarget, CorrectedFile, Item, item_path
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.common.output_folder import output_folder
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.tiles.dense_blocks import DENSE_COST
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.app.ready import load_ready
from napari_sem_classify.plugin.app.session import ReadyModel


@dataclass(frozen=True, slots=True)
class BatchWish:
    """What the user wants done; `kinds` are the files of each image, see `core.export.kinds`."""

    model: Path
    card: ModelCard
    options: ClassifyOptions
    kinds: tuple[str, ...]
    out: Path | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the images found."""

    looked: tuple[Looked, ...]
    plan: BatchPlan

    @property
    def items(self) -> tuple[Item, ...]:
        """The images in the order of the batch."""
        return tuple(each.item for each in self.looked)


@dataclass(frozen=True, slots=True)
class Under:
    """A batch under way: how far it is in all, which image it is at, and what is done by now."""

    whole: Progress  # in tiles of all images that this run has to do
    current: str  # "field_17.tif (17 of 200)"
    outcomes: tuple[ImageOutcome, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """A finished batch; `ready` is the model as it may be used further, None where it may not."""

    report: BatchReport
    files: tuple[Path, ...]
    ready: ReadyModel | None


def cost_of_tile(found: Look, wish: BatchWish) -> float:
    """Time of a tile in that of a tile looked at alone: a fine map looks at whole pieces."""
    tiles = sum(found.plan.tiles.values())
    if not (wish.options.dense and tiles):
        return 1.0
    alone = plan_batch(found.looked, wish.card, replace(wish.options, dense=False, overlap=0.0))
    return DENSE_COST * sum(alone.tiles.values()) / tiles


Known = dict[tuple[str, str, float | None], Looked]


def look(
    inputs: Sequence[str],
    layers: Sequence[Item],
    wish: BatchWish,
    known: Known,
    corrected: Mapping[Path, SemImage] | None = None,
) -> Callable[[JobContext], Look]:
    """Task: list the images, open each for its size and scale, and count the tiles.

    `inputs` are files and folders, `layers` images that are open; `known`, what earlier looks
    found, is filled by this one. Files that were `corrected` in the viewer are taken so.
    """

    def task(context: JobContext) -> Look:
        from napari_sem_classify.core.model.catalogue import load_model

        context.tell(Progress(0, 0, "Listing the images"))
        files = images_to_classify(inputs) if inputs else []
        items: list[Item] = [*(as_corrected(path, corrected or {}) for path in files), *layers]
        looked = look_at(items, wish.card.pixel_size_nm, known, context)
        finished: frozenset[int] = frozenset()
        if wish.out is not None and wish.out.is_dir():
            classifier = load_model(wish.model)
            target = BatchTarget(wish.out, wish.kinds)
            finished = finished_before(items, classifier, target, wish.options)
        return Look(tuple(looked), plan_batch(looked, wish.card, wish.options, finished))

    return task


def as_corrected(path: Path, corrected: Mapping[Path, SemImage]) -> Item:
    """A file, or what the user made of it in the viewer."""
    image = corrected.get(path.absolute())
    return path if image is None else CorrectedFile.of(image)


def run(
    found: Look, wish: BatchWish, ready: ReadyModel | None, *, again: bool
) -> Callable[[JobContext], Done]:
    """Task: classify the images as the command line does, then write table and page."""
    out = wish.out
    if out is None:
        raise ValueError("a batch needs a folder to write into")

    def task(context: JobContext) -> Done:
        from napari_sem_classify.core.batch.batch_report import write_batch_report
        from napari_sem_classify.core.batch.classify_many import classify_many
        from napari_sem_classify.core.classify.engine_choice import engine_for_images

        options, plan = wish.options, found.plan
        model = ready or load_ready(wish.model, options.device, options.backend, context)
        if options.dtype == "int8":
            context.tell(Progress(0, 0, "Checking 8-bit arithmetic"))
        usable = [each.item for each in found.looked if each.image is not None]
        engine = engine_for_images(model.classifier, usable, options, context)
        finished = frozenset() if again else plan.finished
        clock = _Clock(plan.tiles, finished, len(found.items))
        outcomes: list[ImageOutcome] = []

        def progress(reading: Progress) -> None:
            if context.wants_publication:
                context.publish(Under(clock.at(reading), reading.stage, tuple(outcomes)))

        def on_image(outcome: ImageOutcome) -> None:
            outcomes.append(outcome)
            clock.next(outcome.resumed)
            following = found.items[len(outcomes) : len(outcomes) + 1]
            count = f"({len(outcomes) + 1} of {len(found.items)})"
            name = "".join(f"{item_path(item).name} {count}" for item in following)
            context.publish(Under(clock.at(None), name, tuple(outcomes)))

        with output_folder(out) as folder:
            report = classify_many(
                found.items,
                model.classifier,
                BatchTarget(out, wish.kinds, resume=not again),
                options,
                engine=engine,
                folder=folder,
                job=context.telling(progress),
                on_image=on_image,
            )
            context.publish(Under(clock.at(None), "writing table and page", report.images))
            files = write_batch_report(report, folder, wish.card)
        # Fine maps, 8-bit arithmetic and what the cache knew say nothing of how fast tiles are.
        planes = [plane for each in report.done if not each.resumed for plane in each.planes]
        known = any(plane["features_from_cache"] for plane in planes)
        usual = engine is model.engine and not (options.dense or known)
        return Done(report, tuple(files), clock.timed(model) if usual else None)

    return task


@dataclass(slots=True)
class _Clock:
    """Tiles done and to do over all images of a run; images that were finished take no time."""

    tiles: Mapping[int, int]
    finished: frozenset[int]
    images: int
    place: int = 0
    done: int = 0
    start: float = field(default_factory=time.perf_counter)

    def next(self, resumed: bool) -> None:
        """An image is finished: failed ones count as done too."""
        self.done += 0 if resumed else self.tiles.get(self.place, 0)
        self.place += 1

    def at(self, current: Progress | None) -> Progress:
        """The reading over all images."""
        total = sum(n for at, n in self.tiles.items() if at not in self.finished)
        within = 0
        if current is not None and self.place not in self.finished:
            within = round(current.fraction * self.tiles.get(self.place, 0))
        elapsed = time.perf_counter() - self.start
        return Progress(min(self.done + within, total), total, "Classifying", elapsed)

    def timed(self, model: ReadyModel) -> ReadyModel:
        """The model with its speed in this run, where that tells something."""
        seconds = time.perf_counter() - self.start
        if self.done < 2 * model.engine.batch_size:
            return model
        return ReadyModel(model.classifier, model.engine, self.done / max(seconds, 1e-6))
