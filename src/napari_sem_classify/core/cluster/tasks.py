"""What a worker of a Dask cluster does: one image, or one block of a huge one, a task."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.cluster.tile_store import Block
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.batch.classify_many import GridWish, ImageOutcome
    from napari_sem_classify.core.image.sem_image import SemImage
    from napari_sem_classify.core.network.engine.base import Engine

_lock = threading.Lock()
_loaded: dict[str, tuple[TileClassifier, Engine]] = {}


LoadModel = Callable[[], tuple[TileClassifier, "Engine"]]


@dataclass(frozen=True, slots=True)
class Model:
    """How a worker gets the model, once a process.

    Attributes
    ----------
    key : str
        Names the model and what it runs on.
    load : callable
        Gives the classifier and its engine; must be picklable.
    """

    key: str
    load: LoadModel


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """With what a worker classified."""

    backend: str
    device: str
    dtype: str


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Probabilities of a block's tiles, float32 (tile rows, tile columns, classes)."""

    probabilities: NDArray[np.float32]
    engine: EngineFacts


def look_around(path: Path) -> tuple[str, bool]:
    """Version of this program on a worker, and whether the worker sees a path."""
    from napari_sem_classify import __version__

    return __version__, path.exists()


def load_from_file(
    path: Path, device: str = "auto", backend: str = "auto"
) -> tuple[TileClassifier, Engine]:
    """Open a model file and make its engine."""
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.engines import engine_for

    classifier = load_model(path)
    return classifier, engine_for(classifier, device=device, backend=backend)


def classify_whole(
    model: Model, path: Path, stem: str, out: Path, wish: GridWish, cache: bool = False
) -> ImageOutcome:
    """Classify an image and write its files into the output folder, on a worker.

    With `cache` features are looked up and kept in the cache folder of the worker's user.
    """
    from napari_sem_classify.core.batch.classify_many import classify_one
    from napari_sem_classify.core.network.embedding_cache import EmbeddingCache

    with _lock:  # a worker with several threads has one network
        classifier, engine = _load(model)
        known = EmbeddingCache() if cache else None
        return classify_one(path, stem, classifier, out, wish, engine, known)


def classify_block(
    model: Model, path: Path, level: int, grid: TileGrid, intensity: IntensityRange, block: Block
) -> BlockResult:
    """Classify the tiles of a block, on a worker.

    `grid` and `intensity` are those of the whole image, so that a block's tiles come out as they
    would in one run over it.
    """
    from napari_sem_classify.core.network.features import features_to, tile_reporter

    with _lock:
        classifier, engine = _load(model)
        image = _opened(path, level, path.stat().st_mtime_ns)
        part = block.grid(grid)
        head, card = classifier.head, classifier.card
        tiles = np.full((*part.tile_shape, len(card.classes)), np.nan, np.float32)
        flat = tiles.reshape(-1, len(card.classes))

        def sink(index: NDArray[np.int64], features: NDArray[np.float32]) -> None:
            flat[index] = head.probabilities(features, card.temperature)

        reporter = tile_reporter(part, None, "Classifying tiles", None)
        features_to(image, part, engine, intensity, sink, reporter, None, block.plane, None, None)
    return BlockResult(tiles, EngineFacts(engine.backend, engine.device, engine.dtype))


def _load(model: Model) -> tuple[TileClassifier, Engine]:
    if model.key not in _loaded:
        _loaded.clear()  # a worker outlives many runs; the last model is enough
        _loaded[model.key] = model.load()
    return _loaded[model.key]


@lru_cache(maxsize=2)
def _opened(path: Path, level: int, _changed_ns: int) -> SemImage:
    from napari_sem_classify.core.sem_io import open_image

    return open_image(path, level)
