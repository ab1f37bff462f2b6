"""Many images, or a huge one, on a Dask cluster that is there already.

An image is one task; a huge one is cut into blocks of tiles, each a task, whose probabilities this
process collects in one zarr. A task whose worker dies is done again by another. The workers must
have this program, and see the images and the output folder under the same paths.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.batch.batch_outcome import (
    BatchReport,
    ImageOutcome,
    failed_outcome,
    resumed_outcome,
)
from napari_sem_classify.core.batch.batch_state import BatchState, BatchTarget
from napari_sem_classify.core.batch.classify_many import batch_digest
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.cluster.connect import check_workers, connected, model_file
from napari_sem_classify.core.cluster.huge import HugeImage, finish_huge, plan_huge
from napari_sem_classify.core.cluster.tile_store import Block
from napari_sem_classify.core.cluster.worker import (
    EngineFacts,
    LoadModel,
    WorkerModel,
    arithmetic_for,
    classify_block,
    classify_whole,
    load_from_file,
)
from napari_sem_classify.core.common.errors import DeviceError, ImageError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.common.temporaries import temporary_folder
from napari_sem_classify.core.model.head import TileClassifier

_POLL_S = 0.5


def classify_on_cluster(
    paths: Sequence[Path],
    classifier: TileClassifier,
    target: BatchTarget,
    options: ClassifyOptions,
    *,
    scheduler: str,
    folder: OutputFolder | None = None,
    job: Job | None = None,
    load: LoadModel | None = None,
) -> BatchReport:
    """Classify images on a Dask cluster, with the outputs of `classify_many`.

    A huge image also leaves ``STEM.probabilities.zarr``, see `tile_store`. What is finished, images
    and blocks, stays when the run is stopped, and is not done again.

    Parameters
    ----------
    options : ClassifyOptions
        One of the workers chooses the arithmetic for all. Features are kept in the cache folder of
        each worker's user; those of a huge image's blocks never: naming its content costs reads of
        its own for each of them.
    scheduler : str
        Address of the scheduler, "tcp://host:8786".
    folder : OutputFolder, optional
        The target's folder, where the caller has it open and goes on to write into it.
    job : Job, optional
        Progress counts images, and the blocks of huge ones.
    load : callable, optional
        Gives a worker the classifier and its engine; by default from a copy of the model in the
        output folder.

    Raises
    ------
    DeviceError
        When ``dask.distributed`` is not installed, the cluster cannot be reached or used, or the
        connection is lost.
    OutputError
        When nothing can be written any more.
    Cancelled
        When the job was asked to stop.
    """
    start = time.perf_counter()
    digest = batch_digest(classifier, options, target.kinds)
    with (
        output_folder(folder or target.folder) as folder,
        folder.staging() as made,
        connected(scheduler) as client,
    ):
        staging = made.resolve()  # the workers start elsewhere
        file = staging if load is not None else model_file(staging, classifier)
        has_8_bits = check_workers(client, file, folder.path)
        original = None if classifier.path is None else classifier.path.absolute()
        device, backend = options.device, options.backend

        def model(in_8_bits: dict[str, Any] | None) -> WorkerModel:
            """For workers, in 8 bits or in the usual arithmetic."""
            key = f"{digest} {device} {backend}"
            if in_8_bits is None:
                make = load or partial(load_from_file, file, original, device, backend)
                return WorkerModel(key, make)
            make = partial(load_from_file, file, original, device, backend, in_8_bits)
            return WorkerModel(f"{key} {in_8_bits['ranges_sha256']}", make)

        in_8_bits = None
        if load is None and has_8_bits:
            in_8_bits = _arithmetic(client, model(None), paths, options, job)
        arithmetic = ClusterArithmetic(model, in_8_bits, has_8_bits)
        run = _ClusterRun(client, arithmetic, classifier, target, options, folder, staging)
        try:
            run.plan(paths, job)
            run.collect(Reporter(len(run.tasks), "Classifying on the cluster", job))
        finally:
            run.cancel()
    outcomes = tuple(one.outcome for one in run.images if one.outcome is not None)
    return BatchReport(outcomes, time.perf_counter() - start)


def _arithmetic(
    client: Any,
    model: WorkerModel,
    paths: Sequence[Path],
    options: ClassifyOptions,
    job: Job | None,
) -> dict[str, Any] | None:
    """Have one worker choose the arithmetic, see `arithmetic_for`."""
    there = [path.resolve() for path in paths]
    future = client.submit(arithmetic_for, model, there, options, pure=False)
    Reporter(1, "Choosing the arithmetic", job)
    try:
        while not future.done():
            if job is not None:
                job.check()
            with suppress(TimeoutError):
                future.result(timeout=_POLL_S)
        found: dict[str, Any] | None = _result(future)
    finally:
        with suppress(Exception):  # the connection may be gone
            client.cancel([future])
    return found


@dataclass(frozen=True, slots=True)
class ClusterArithmetic:
    """In what the workers of a run compute.

    Attributes
    ----------
    model : callable
        Gives the model in 8 bits as `arithmetic_for` tells them, or for None in the usual one.
    in_8_bits : dict or None
        Of all images that are begun now; huge ones that are gone on with keep their own.
    has_8_bits : bool
        Whether all workers can.
    """

    model: Callable[[dict[str, Any] | None], WorkerModel]
    in_8_bits: dict[str, Any] | None = None
    has_8_bits: bool = True


@dataclass(slots=True)
class _ClusterImage:
    """One image of a run; `huge` is None for one that is classified whole."""

    path: Path
    stem: str
    huge: HugeImage | None = None
    outcome: ImageOutcome | None = None


class _ClusterRun:
    """A run under way: which tasks of which images the cluster has, and what came back."""

    def __init__(
        self,
        client: Any,
        arithmetic: ClusterArithmetic,
        classifier: TileClassifier,
        target: BatchTarget,
        options: ClassifyOptions,
        folder: OutputFolder,
        staging: Path,
    ) -> None:
        self._client, self._arithmetic, self._classifier = client, arithmetic, classifier
        self._target, self._options = target, options
        self._folder, self._staging = folder, staging
        self._settings = batch_digest(classifier, options, target.kinds)
        self._state = BatchState(folder.record, self._settings)
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._start = time.perf_counter()
        self.images: list[_ClusterImage] = []
        self.tasks: dict[str, tuple[Any, _ClusterImage, Block | None]] = {}

    def plan(self, paths: Sequence[Path], job: Job | None) -> None:
        """Send every image that is not finished to the cluster, huge ones block by block."""
        for path, stem in self._state.with_stems(paths):
            if job is not None:
                job.check()
            entry = _ClusterImage(path, stem)
            self.images.append(entry)
            known = self._state.finished(path) if self._target.resume else None
            if known is not None:
                entry.outcome = resumed_outcome(path, self._folder.path, known)
                continue
            with self._problems_of(entry):
                self._submit(entry)

    def collect(self, reporter: Reporter) -> None:
        """Wait for the tasks, and finish each image with its last one."""
        while self.tasks:
            reporter.check()
            try:
                future = self._done.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if future.key not in self.tasks:
                continue
            if not future.done():  # its worker died with the result: another one works on it
                future.add_done_callback(self._done.put)
                continue
            _, entry, block = self.tasks[future.key]
            with self._problems_of(entry):
                result = _result(future)
                if block is None:
                    self._put(entry, *result)
                else:
                    self._take(entry, block, *result)
            if entry.outcome is not None and entry.outcome.problem:
                self._drop(entry)
            done = self.tasks.pop(future.key, None)
            reporter.advance(0 if done is None else 1)

    def cancel(self) -> None:
        """Take back what the cluster still has to do."""
        with suppress(Exception):  # the connection may be gone
            self._client.cancel([future for future, _, _ in self.tasks.values()])

    def _submit(self, entry: _ClusterImage) -> None:
        target, options = self._target, self._options
        there = replace(target, folder=self._folder.path)
        arithmetic = self._arithmetic
        entry.huge = plan_huge(
            entry.path,
            entry.stem,
            self._classifier,
            there,
            options,
            self._settings,
            arithmetic.in_8_bits,
            arithmetic.has_8_bits,
        )
        if entry.huge is None:
            staged = replace(target, folder=self._staging)
            self._send(entry, None, classify_whole, entry.stem, staged, options)
            return
        level, grid = entry.huge.image.level, entry.huge.choice.grid
        for block in sorted(entry.huge.waiting, key=lambda one: (one.plane, one.top, one.left)):
            reach = entry.huge.ranges[block.plane]
            self._send(entry, block, classify_block, level, grid, reach, block)
        if not entry.huge.waiting:
            self._finish(entry, entry.huge)

    def _send(
        self, entry: _ClusterImage, block: Block | None, call: Callable[..., Any], *args: Any
    ) -> None:
        of_run, huge = self._arithmetic, entry.huge
        model = of_run.model(of_run.in_8_bits if huge is None else huge.in_8_bits)
        future = self._client.submit(call, model, entry.path.resolve(), *args, pure=False)
        self.tasks[future.key] = (future, entry, block)
        future.add_done_callback(self._done.put)

    def _take(
        self, entry: _ClusterImage, block: Block, tiles: NDArray[np.float32], engine: EngineFacts
    ) -> None:
        if entry.huge is None or entry.outcome is not None:
            return
        entry.huge.take(block, tiles, engine)
        if not entry.huge.waiting:
            self._finish(entry, entry.huge)

    def _finish(self, entry: _ClusterImage, huge: HugeImage) -> None:
        """Write the files of a huge image from its blocks, and put them into their place."""
        seconds = round(time.perf_counter() - self._start, 3)
        with temporary_folder(self._staging) as staging:
            target = replace(self._target, folder=staging)
            outcome = finish_huge(huge, self._classifier, target, seconds)
            self._put(entry, outcome, staging)
        huge.store.forget()

    def _put(
        self,
        entry: _ClusterImage,
        outcome: ImageOutcome,
        staging: Path,
    ) -> None:
        put = self._state.put(self._folder, staging, entry.path, entry.stem, outcome)
        entry.outcome = replace(put, path=entry.path)

    def _drop(self, entry: _ClusterImage) -> None:
        """Take back the other blocks of an image that failed."""
        mine = {key: task[0] for key, task in self.tasks.items() if task[1] is entry}
        self._client.cancel(list(mine.values()))
        for key in mine:
            del self.tasks[key]

    @contextmanager
    def _problems_of(self, entry: _ClusterImage) -> Iterator[None]:
        """Note what goes wrong with one image; what concerns all of them passes."""
        try:
            yield
        except Exception as error:
            entry.outcome = failed_outcome(entry.path, entry.stem, error)


def _result(future: Any) -> Any:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        return future.result()
    except (CancelledError, CommClosedError) as error:
        raise DeviceError(
            "The connection to the Dask cluster was lost: start again, what is finished stays."
        ) from error
    except KilledWorker as error:
        raise ImageError(
            "Several workers of the Dask cluster died over it, probably for lack of memory: "
            "give each more memory, or fewer workers to a machine."
        ) from error
