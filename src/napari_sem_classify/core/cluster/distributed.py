"""Many images, or a huge one, on a Dask cluster that is there already.

An image is one task; a huge one is cut into blocks of tiles, each a task, whose probabilities this
process collects in one zarr. A task whose worker dies is done again by another. The workers must
have this program, and see the images and the output folder under the same paths.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_sem_classify.core.batch import classify_many as batch
from napari_sem_classify.core.batch.batch_state import BatchState, settings_digest
from napari_sem_classify.core.batch.classify_many import BatchReport, GridWish, ImageOutcome
from napari_sem_classify.core.cluster import tasks as cluster_tasks
from napari_sem_classify.core.cluster.connect import check_workers, connected, model_file
from napari_sem_classify.core.cluster.huge import HugeImage, finish_huge, plan_huge
from napari_sem_classify.core.cluster.tasks import BlockResult, LoadModel, Model
from napari_sem_classify.core.cluster.tile_store import Block
from napari_sem_classify.core.common.errors import (
    Cancelled,
    DeviceError,
    ImageError,
    OutputError,
    SemClassifyError,
)
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.model.head import TileClassifier

_POLL_S = 0.5


def classify_on_cluster(
    paths: Sequence[Path],
    classifier: TileClassifier,
    out: Path,
    *,
    scheduler: str,
    wish: GridWish | None = None,
    device: str = "auto",
    backend: str = "auto",
    resume: bool = True,
    job: Job | None = None,
    load: LoadModel | None = None,
    cache: bool = False,
) -> BatchReport:
    """Classify images on a Dask cluster, with the outputs of `batch.classify_many`.

    A huge image also leaves ``STEM.probabilities.zarr``, see `tile_store`. What is finished, images
    and blocks, stays when the run is stopped, and is not done again.

    Parameters
    ----------
    paths, classifier, out, wish, resume
        As for `batch.classify_many`.
    scheduler : str
        Address of the scheduler, "tcp://host:8786".
    device, backend : str
        As for `engine_for`, on the workers.
    job : Job, optional
        Progress counts images, and the blocks of huge ones.
    load : callable, optional
        Gives a worker the classifier and its engine; by default from a copy of the model in the
        output folder.
    cache : bool
        Whether workers look up and keep features of tiles in their user's cache folder. Blocks of a
        huge image are never kept: naming its content costs reads of its own for each of them.

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
    wish = wish or GridWish()
    out = ensure_folder(out)
    digest = settings_digest(classifier, asdict(wish))
    shared = model_file(out, classifier, digest) if load is None else nullcontext(out)
    with connected(scheduler) as client, shared as file:
        check_workers(client, file)
        make = load or partial(cluster_tasks.load_from_file, file, device, backend)
        run = _Run(
            client,
            Model(f"{digest} {device} {backend}", make),
            classifier,
            out,
            wish,
            digest,
            cache,
        )
        try:
            run.plan(paths, resume, job)
            run.collect(Reporter(len(run.tasks), "Classifying on the cluster", job))
        finally:
            run.cancel()
    outcomes = tuple(one.outcome for one in run.entries if one.outcome is not None)
    return BatchReport(outcomes, time.perf_counter() - start)


@dataclass(slots=True)
class _Entry:
    """One image; `huge` is None for one that is classified whole."""

    path: Path
    stem: str
    huge: HugeImage | None = None
    outcome: ImageOutcome | None = None


class _Run:
    """A run under way: which tasks of which images the cluster has, and what came back."""

    def __init__(
        self,
        client: Any,
        model: Model,
        classifier: TileClassifier,
        out: Path,
        wish: GridWish,
        settings: str,
        cache: bool,
    ) -> None:
        self._cache = cache
        self._client, self._model, self._classifier = client, model, classifier
        self._out, self._wish, self._settings = out, wish, settings
        self._state = BatchState.open(out, settings)
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._start = time.perf_counter()
        self.entries: list[_Entry] = []
        self.tasks: dict[str, tuple[Any, _Entry, Block | None]] = {}

    def plan(self, paths: Sequence[Path], resume: bool, job: Job | None) -> None:
        """Send every image that is not finished to the cluster, huge ones block by block."""
        for path, stem in self._state.with_stems(paths):
            if job is not None:
                job.check()
            entry = _Entry(path, stem)
            self.entries.append(entry)
            known = self._state.finished(path) if resume else None
            if known is not None:
                entry.outcome = batch.resumed_outcome(path, self._out, known)
                continue
            with self._problems_of(entry):
                self._submit(entry, resume)

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
                result = self._result(future)
                if block is None:
                    self._note(entry, result)
                else:
                    self._take(entry, block, result)
            if entry.outcome is not None and entry.outcome.problem:
                self._drop(entry)
            done = self.tasks.pop(future.key, None)
            reporter.advance(0 if done is None else 1)

    def cancel(self) -> None:
        """Take back what the cluster still has to do."""
        with suppress(Exception):  # the connection may be gone
            self._client.cancel([future for future, _, _ in self.tasks.values()])

    def _submit(self, entry: _Entry, resume: bool) -> None:
        out = self._out.resolve()
        entry.huge = plan_huge(
            entry.path, entry.stem, self._classifier, self._out, self._wish, self._settings, resume
        )
        if entry.huge is None:
            whole = cluster_tasks.classify_whole
            self._send(entry, None, whole, entry.stem, out, self._wish, self._cache)
            return
        level, grid = entry.huge.image.level, entry.huge.choice.grid
        for block in sorted(entry.huge.waiting, key=lambda one: (one.plane, one.top, one.left)):
            reach = entry.huge.ranges[block.plane]
            self._send(entry, block, cluster_tasks.classify_block, level, grid, reach, block)
        if not entry.huge.waiting:
            self._note(entry, self._finished(entry.huge))

    def _send(
        self, entry: _Entry, block: Block | None, call: Callable[..., Any], *args: Any
    ) -> None:
        future = self._client.submit(call, self._model, entry.path.resolve(), *args, pure=False)
        self.tasks[future.key] = (future, entry, block)
        future.add_done_callback(self._done.put)

    def _take(self, entry: _Entry, block: Block, result: BlockResult) -> None:
        if entry.huge is None or entry.outcome is not None:
            return
        entry.huge.store.write(block, result.probabilities)
        entry.huge.engines.add(result.engine)
        entry.huge.waiting.discard(block)
        if not entry.huge.waiting:
            self._note(entry, self._finished(entry.huge))

    def _finished(self, huge: HugeImage) -> ImageOutcome:
        seconds = round(time.perf_counter() - self._start, 3)
        return finish_huge(huge, self._classifier, self._out, seconds)

    def _note(self, entry: _Entry, outcome: ImageOutcome) -> None:
        entry.outcome = replace(outcome, path=entry.path)
        self._state.note(entry.path, batch.as_json(outcome))

    def _drop(self, entry: _Entry) -> None:
        """Take back the other blocks of an image that failed."""
        mine = {key: task[0] for key, task in self.tasks.items() if task[1] is entry}
        self._client.cancel(list(mine.values()))
        for key in mine:
            del self.tasks[key]

    def _result(self, future: Any) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            return future.result()
        except CancelledError as error:
            raise DeviceError(
                "The connection to the Dask cluster was lost: start again, what is finished stays."
            ) from error
        except KilledWorker as error:
            raise ImageError(
                "Several workers of the Dask cluster died over it, probably for lack of memory: "
                "give each more memory, or fewer workers to a machine."
            ) from error

    @contextmanager
    def _problems_of(self, entry: _Entry) -> Iterator[None]:
        """Note what goes wrong with one image; what concerns all of them passes."""
        try:
            yield
        except (Cancelled, OutputError, DeviceError):
            raise
        except SemClassifyError as error:
            entry.outcome = ImageOutcome(entry.path, entry.stem, problem=str(error))
        except Exception as error:
            problem = batch.strange_problem(entry.path, error)
            entry.outcome = ImageOutcome(entry.path, entry.stem, problem=problem)
