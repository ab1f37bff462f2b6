"""What a worker of a Dask cluster does: one image, or one block of a huge one, a task."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.cluster.tile_store import Block
from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.common.temporaries import temporary_name
from napari_sem_classify.core.image.evened import evened_plane
from napari_sem_classify.core.image.intensity import IntensityRange, IntensityRecipe
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
    from napari_sem_classify.core.image.sem_image import SemImage
    from napari_sem_classify.core.network.engine.base import Engine

_lock = threading.Lock()
_loaded: dict[str, tuple[TileClassifier, Engine]] = {}

LoadModel = Callable[[], tuple[TileClassifier, "Engine"]]


@dataclass(frozen=True, slots=True)
class WorkerModel:
    """How a worker gets the model, once a process.

    `key` names the model and what it runs on; `load`, which must be picklable, gives the classifier
    and its engine.
    """

    key: str
    load: LoadModel


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """With what a worker classified.

    `checked` is that of 8-bit arithmetic, for the record.
    """

    backend: str
    device: str
    dtype: str
    checked: Mapping[str, Any] | None = field(default=None, compare=False)

    def told(self) -> dict[str, str]:
        """Its names, as `of` takes them."""
        return {"backend": self.backend, "device": self.device, "dtype": self.dtype}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> EngineFacts:
        """From its names."""
        return cls(str(told["backend"]), str(told["device"]), str(told["dtype"]))


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker has: this program's version, sight of a path, and 8-bit arithmetic."""

    version: str
    sees: bool
    has_8_bits: bool


def look_around(path: Path) -> WorkerFacts:
    """Tell what there is on a worker."""
    from napari_sem_classify import __version__
    from napari_sem_classify.core.network.engine.devices import has_openvino

    return WorkerFacts(__version__, path.exists(), has_openvino())


def load_from_file(
    path: Path,
    original: Path | None,
    device: str = "auto",
    backend: str = "auto",
    in_8_bits: Mapping[str, Any] | None = None,
) -> tuple[TileClassifier, Engine]:
    """Open the copy of a model file and make its engine; records name the original, where seen.

    `in_8_bits` is from `arithmetic_for`.

    Raises
    ------
    DeviceError
        When 8-bit arithmetic is asked for and OpenVINO is not there: parts of one image in full
        precision beside others in 8 bits would be no map.
    """
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.engines import engine_for

    classifier = load_model(path)
    if original is not None and original.is_file():
        classifier = replace(classifier, path=original)
    if in_8_bits is not None:
        from napari_sem_classify.core.classify.int8 import int8_as_recorded

        try:
            return classifier, int8_as_recorded(classifier, in_8_bits)
        except DeviceError as error:
            raise DeviceError(
                f"A worker of the cluster on {platform.node()} cannot go on in 8-bit arithmetic as "
                "the others do: run pip install 'napari-sem-classify[cpu]' there."
            ) from error
    return classifier, engine_for(classifier, device=device, backend=backend)


def arithmetic_for(
    model: WorkerModel, paths: Sequence[Path], options: ClassifyOptions
) -> dict[str, Any] | None:
    """Choose the arithmetic of a run on one worker, so that all have the same.

    Gives what `load_from_file` takes: None for the usual one.
    """
    from napari_sem_classify.core.classify.engine_choice import engine_for_images

    with _lock:
        checked = engine_for_images(_load(model)[0], paths, options).checked
    return None if checked is None else dict(checked)


def classify_whole(
    model: WorkerModel, path: Path, stem: str, target: BatchTarget, options: ClassifyOptions
) -> tuple[ImageOutcome, Path]:
    """Classify an image on a worker, and write its files into a new folder in the target's.

    Who started the run puts them into their place: one process writes into an output folder.
    Features are looked up and kept in the cache folder of the worker's user.
    """
    from napari_sem_classify.core.batch.classify_many import classify_one

    with _lock:  # a worker with several threads has one network
        classifier, engine = _load(model)
        made = target.folder / temporary_name()
        made.mkdir()
        there = replace(target, folder=made)
        return classify_one(path, stem, classifier, there, options, engine), made


def classify_block(
    model: WorkerModel,
    path: Path,
    level: int,
    grid: TileGrid,
    intensity: IntensityRange,
    block: Block,
) -> tuple[NDArray[np.float32], EngineFacts]:
    """Classify the tiles of a block, on a worker.

    `grid` and `intensity` are those of the whole image, so that a block's tiles come out as they
    would in one run over it. Gives `PlaneScores.raw` of them, which fits together with that of the
    other blocks, and with what it was made.
    """
    from napari_sem_classify.core.classify.driver import tile_scores

    with _lock:
        classifier, engine = _load(model)
        known = path, level, path.stat().st_mtime_ns
        image = _opened(*known)
        shown = _evened(*known, classifier.card.intensity, block.plane)
        tiles = PlaneTiles(image, block.grid(grid), plane=block.plane, held=shown)
        reporter = tiles.reporter("Classifying tiles", None)
        found, _ = tile_scores(tiles, classifier, engine, intensity, reporter=reporter)
    return found.raw, EngineFacts(engine.backend, engine.device, engine.dtype)


def _load(model: WorkerModel) -> tuple[TileClassifier, Engine]:
    if model.key not in _loaded:
        _loaded.clear()  # a worker outlives many runs; the last model is enough
        _loaded[model.key] = model.load()
    return _loaded[model.key]


@lru_cache(maxsize=2)
def _opened(path: Path, level: int, _changed_ns: int) -> SemImage:
    from napari_sem_classify.core.sem_io import open_image

    return open_image(path, level)


@lru_cache(maxsize=2)
def _evened(
    path: Path, level: int, changed_ns: int, recipe: IntensityRecipe, plane: tuple[int, ...]
) -> SemImage | None:
    """A plane that is evened out in parts, whose ranges are found once for all its blocks."""
    image = _opened(path, level, changed_ns)
    shown, _ = evened_plane(image, recipe, plane)
    return None if shown is image else shown
