"""What the worker threads of *Fine-tune* do. Nothing here knows a widget, a layer or a viewer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import Cancelled, OutputError, SemClassifyError
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.evaluate.evaluate import Evaluation
from napari_sem_classify.core.evaluate.set_reading import shrink
from napari_sem_classify.core.finetune.augmentation import Augmentation
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_pace import Pace, paced, plan_for
from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.finetune.chosen import Choice
from napari_sem_classify.plugin.finetune.watch import TrainingSnapshot, TrainingWatch

if TYPE_CHECKING:
    from napari_sem_classify.core.evaluate.dataset_split import Split
    from napari_sem_classify.core.evaluate.training_set import TrainingSet
    from napari_sem_classify.core.finetune.finetune_result import FineTuned, HeldOut

Examples = tuple[list[str], NDArray[np.uint8]]
"""Classes, and a tile of each."""

SHOWN_PX = 96
MOST_SHOWN = 400
NOT_AROUND = "What surrounds the tiles could not be looked at: "
ENOUGH_TO_LOOK_S = 60.0
"""Time left from which a training that is held to a time looks at what surrounds its tiles."""
KEEP_DAYS = 14
COPIES = 4


@dataclass(frozen=True, slots=True)
class HeldTile:
    """A held-out tile or image, and what the model said of it, `confidence` for `predicted`.

    `key` is the fingerprint of its image, "" where it was not annotated in the viewer; `path` is
    only a name where that is no file. `place` is top, bottom, left and right in pixels of the
    image, and all of it where it is no tile (`is_tile`).
    """

    truth: int
    predicted: int
    confidence: float
    picture: NDArray[np.uint8]
    path: Path
    key: str
    place: tuple[int, int, int, int]
    is_tile: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training came to, whether it was stopped early, and then could go on.

    `held` has wrong ones first, the surest of them foremost; then right ones, the least sure
    foremost.
    """

    classifier: TileClassifier
    evaluation: Evaluation
    held: tuple[HeldTile, ...]
    curves: TrainingSnapshot
    notes: tuple[str, ...]
    cancelled: bool
    resumable: bool
    seconds: float


class Stop(Job):
    """Two wishes: to end with the best model so far, and to end at once as the window is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._window = Job()

    def follow(self, window: Job) -> None:
        """Tell `window` how far the training is, and end without any model when it is stopped."""
        self._window = window

    def tell(self, progress: Progress) -> None:
        """Tell how far the training is."""
        self._window.tell(progress)

    @property
    def asked(self) -> bool:
        """Whether *Cancel* was pressed."""
        return super().cancelled

    @property
    def cancelled(self) -> bool:
        """Whether to end with the best model so far; raises `Cancelled` to end at once."""
        if self._window.cancelled:
            # fastai adds to the words of an exception, so there have to be some.
            raise Cancelled("the window was closed")
        return super().cancelled


def training_folder() -> Path:
    """Give the folder where a training under way is kept, so that it can go on after a kill."""
    from platformdirs import user_data_path

    return Path(user_data_path("napari-sem-classify", appauthor=False)) / "training"


def interrupted(folder: Path) -> str:
    """Tell of a training that was killed or stopped on its way; "" where there is none."""
    times: list[float] = []
    with suppress(OSError):
        times = [path.stat().st_mtime for path in folder.glob("*.safetensors")]
    if not times:
        return ""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(times)))
    return (
        f"A training was interrupted at {when}: choose the same data, options and seed, and it "
        "goes on from there."
    )


def train(
    choice: Choice,
    options: FineTuneOptions,
    stop: Stop,
    folder: Path,
    pace: Pace | None = None,
    rate: float | None = None,
) -> Callable[[JobContext], Outcome]:
    """Task: cut tiles, train, score; publishes a `TrainingSnapshot` a few times a second.

    After `stop` the best model so far is the outcome. The checkpoint lies in `folder`. Where there
    is a `pace` the preset is cut so that it ends in time, by the `rate` of a short trial, which is
    made first where None.
    """

    def task(context: JobContext) -> Outcome:
        begun = time.perf_counter()
        stop.follow(context)
        largest = max(stage.size for stage in options.preset.stages)
        context.tell(Progress(0, 0, "Getting ready"))
        mine = choice if pace is None else choice.with_most(pace.most_images, options.seed)
        data = mine.make(largest, options.seed, stop)
        try:
            split = mine.split(data, options.seed)
            how, ends_at = options, None if pace is None else begun + pace.seconds
            if pace is not None:
                how = paced(options, plan_for(pace, data, split, options, begun, rate))
            how = replace(
                how,
                name=choice.name,
                colours={info.name: info.colour for info in choice.classes},
                contains={
                    info.name: info.contains for info in choice.classes if info.contains is not None
                },
                checkpoint=_checkpoint(folder, data.fingerprint()),
            )

            def look_around(result: FineTuned) -> FineTuned:
                return mine.look_around(result, data, split, options.device, stop)

            return _train(data, split, how, context, stop, begun, ends_at, look_around)
        finally:
            data.discard()

    return task


def _train(
    data: TrainingSet,
    split: Split,
    options: FineTuneOptions,
    context: JobContext,
    stop: Stop,
    begun: float,
    ends_at: float | None,
    look_around: Callable[[FineTuned], FineTuned],
) -> Outcome:
    context.tell(Progress(0, 0, "Getting the network ready"))
    from napari_sem_classify.core.finetune.finetune import fine_tune

    watch = TrainingWatch(options, data, split, context)
    job = stop.telling(watch.progress)
    result = fine_tune(
        data,
        split,
        options,
        on_epoch=watch.epoch,
        on_batch=watch.batch,
        job=job,
        ends_at=ends_at,
    )
    if ends_at is None or ends_at - time.perf_counter() > ENOUGH_TO_LOOK_S:
        try:
            result = look_around(result)
        except Cancelled:
            _ = stop.cancelled  # raises again where the window was closed; else the model is there
        except SemClassifyError as error:
            result = replace(result, notes=(*result.notes, f"{NOT_AROUND}{error}"))
    if options.checkpoint is not None and not result.cancelled:
        options.checkpoint.unlink(missing_ok=True)
    kept = options.checkpoint is not None and options.checkpoint.is_file()
    return Outcome(
        classifier=result.classifier,
        evaluation=result.held_out,
        held=_held(data, result.held_out),
        curves=watch.snapshot(result.history),
        notes=result.notes,
        cancelled=result.cancelled,
        resumable=result.cancelled and kept,
        seconds=time.perf_counter() - begun,
    )


def preview(choice: Choice, preset: Preset) -> Callable[[JobContext], tuple[list[str], object]]:
    """Task: tiles as the first stage of training shows them to the network.

    Gives the classes and uint8 pictures of shape (classes, `COPIES`, size, size), the first of each
    row unchanged.
    """

    def task(context: JobContext) -> tuple[list[str], object]:
        from napari_sem_classify.core.finetune.preview import augmented_tiles

        size = preset.stages[-1].size
        names, tiles = choice.examples(size, context)
        context.check()
        return names, augmented_tiles(tiles, size, preset.augmentation, COPIES)

    return task


def one_kind(
    choice: Choice,
    size: int,
    augmentation: Augmentation,
    copies: int,
    known: Examples | None,
) -> Callable[[JobContext], tuple[Examples, list[NDArray[np.uint8]]]]:
    """Task: one tile as an augmentation makes it; `known` examples are not cut again.

    Gives the examples, and `copies` pictures of shape (size, size), the first unchanged; none where
    there is no tile.
    """

    def task(context: JobContext) -> tuple[Examples, list[NDArray[np.uint8]]]:
        from napari_sem_classify.core.finetune.preview import augmented_tiles

        examples = known or choice.examples(size, context)
        context.check()
        rows = augmented_tiles(examples[1][:1], size, augmentation, copies)
        return examples, [picture for row in rows for picture in row]

    return task


def save(path: Path, classifier: TileClassifier, confirmed: bool) -> Callable[[JobContext], Path]:
    """Task: write the model under its file's name; `confirmed` as `save_model` has it."""

    def task(_context: JobContext) -> Path:
        ensure_folder(path.parent)
        card = replace(classifier.card, name=stem_of(path))
        return save_model(path, replace(classifier, card=card), confirmed=confirmed)

    return task


def devices(_context: JobContext) -> list[tuple[str, str]]:
    """Task: title and id of each processor that can train."""
    from napari_sem_classify.core.network.engine.devices import available_devices

    return [(each.title, each.id) for each in available_devices() if each.backend == "torch"]


def _checkpoint(folder: Path, fingerprint: str) -> Path | None:
    """Where the training is kept on its way; those of weeks ago are removed. None without room."""
    try:
        ensure_folder(folder)
    except OutputError:
        return None  # the training itself needs none
    mine = folder / f"{fingerprint[:24]}.safetensors"
    for other in folder.glob("*.safetensors"):
        with suppress(OSError):
            if other != mine and time.time() - other.stat().st_mtime > KEEP_DAYS * 86400:
                other.unlink()
    return mine


def _held(data: TrainingSet, held: HeldOut) -> tuple[HeldTile, ...]:
    predicted = held.probabilities.argmax(axis=1)
    confidence = held.probabilities.max(axis=1)
    right = predicted == held.truth
    order = np.lexsort((np.where(right, confidence, -confidence), right))[:MOST_SHOWN]
    shown = []
    for number in order.tolist():
        facts = data.images[held.image[number]]
        picture = np.array(data.tiles[held.tile[number]])
        shown.append(
            HeldTile(
                int(held.truth[number]),
                int(predicted[number]),
                float(confidence[number]),
                shrink(picture, min(SHOWN_PX, picture.shape[0])),
                facts.record.path,
                facts.key,
                _place(data, int(held.tile[number])),
                not data.whole_images,
            )
        )
    return tuple(shown)


def _place(data: TrainingSet, tile: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a tile in its image."""
    facts = data.images[data.tile_image[tile]]
    if data.places is None or data.whole_images:
        top, bottom, left, right = facts.specimen
        return top, bottom, left, right
    top, left = (int(value) for value in data.places[tile])
    return top, top + data.tile_px, left, left + data.tile_px
