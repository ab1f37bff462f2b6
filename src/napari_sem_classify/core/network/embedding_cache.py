"""Features of tiles kept on disk, so that a second model on the same image needs no network run.

One file an entry: a header of fixed length, the features in float16, the numbers of their tiles,
and the numbers of tiles found empty. It is written under a temporary name and renamed, so another
process, or one that comes after a kill, finds a whole file or none. An entry may know a part of the
tiles only, as after a cancelled run: what comes later goes on from there. The cache only ever saves
time: where it cannot be read or written, the network runs as if there were none. It is ours because
joblib and diskcache pickle what they keep, and nothing here is ever unpickled.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.digest import digest_of
from napari_sem_classify.core.common.errors import Cancelled, OutputError, SemClassifyError
from napari_sem_classify.core.common.files import atomic_path, ensure_folder
from napari_sem_classify.core.common.temporaries import sweep
from napari_sem_classify.core.image.image_key import image_key

if TYPE_CHECKING:
    from napari_sem_classify.core.image.intensity import IntensityRange
    from napari_sem_classify.core.network.engine.base import Engine
    from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

MAX_BYTES = 4_000_000_000
SUFFIX = ".tiles"

LARGEST_KEPT = 65504.0
"""The largest number of float16."""

_HEADER = struct.Struct("<8sQQQ")  # magic, features a tile, tiles, empty tiles
_MAGIC = b"SEMTILE1"
_BLOCK_TILES = 2048
_LARGEST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class CachedFeatures:
    """An entry of the cache that answers a question.

    Attributes
    ----------
    file : binary file
        Open for as long as the entry is used, so that nobody replaces the features under the index.
    index : int64, shape (N,)
        Tiles with features, in the order in which they lie in the file.
    empty : int64, shape (M,)
        Tiles that hold no data.
    """

    file: BinaryIO
    feature_size: int
    index: NDArray[np.int64]
    empty: NDArray[np.int64]

    def knows(self, wanted: NDArray[np.int64]) -> bool:
        """Whether all of these tiles are in it, or found empty."""
        return bool(np.isin(wanted, np.concatenate([self.index, self.empty])).all())

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Give numbers of tiles and their features, float16 of shape (n, features), in blocks."""
        self.file.seek(_HEADER.size)
        for start in range(0, len(self.index), _BLOCK_TILES):
            some = self.index[start : start + _BLOCK_TILES]
            values = np.fromfile(self.file, np.float16, len(some) * self.feature_size)
            yield some, values.reshape(len(some), self.feature_size)


class EmbeddingCache:
    """Features on disk, the least recently used ones deleted beyond a size.

    Parameters
    ----------
    folder : Path, optional
        The user's cache folder where none is given.
    max_bytes : int
        Size of all entries together; a single entry takes at most half of it.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder or default_folder()
        self.max_bytes = max_bytes

    @contextmanager
    def find(self, key: str) -> Iterator[CachedFeatures | None]:
        """Open an entry, if there is one; it then counts as just used."""
        with ExitStack() as stack:
            entry = None
            with suppress(OSError, ValueError):
                path = self.folder / f"{key}{SUFFIX}"
                entry = _read_entry(stack.enter_context(path.open("rb")))
                os.utime(path)
            yield entry

    def writer(
        self, key: str, feature_size: int, n_tiles: int, left: NDArray[np.bool_] | None = None
    ) -> FeatureWriter | None:
        """Start an entry for up to `n_tiles` tiles; None where it would be too large to keep.

        `left` says of each tile of the grid whether it is looked at now: what an earlier entry
        knows of the others is kept, and what was done when the run is cancelled. Without it an
        entry is written by one run, to its end.
        """
        if n_tiles * feature_size * 2 > self.max_bytes * _LARGEST_SHARE:
            return None
        return FeatureWriter(self, key, feature_size, left)

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> None:
        """Delete all entries."""
        for _, _, path in self._entries():
            with suppress(OSError):
                path.unlink()

    def evict(self) -> None:
        """Delete the least recently used entries beyond the size, and what kills left behind."""
        entries = sorted(self._entries())
        excess = sum(size for _, size, _ in entries) - self.max_bytes
        for _, size, path in entries:
            if excess <= 0:
                break
            with suppress(OSError):  # in use by another process on Windows, or gone already
                path.unlink()
                excess -= size
        sweep(self.folder)

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of each entry."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                state = path.stat()
                if not path.name.startswith("."):
                    found.append((state.st_mtime, state.st_size, path))
        return found


def as_kept(features: NDArray[Any]) -> NDArray[np.float16] | None:
    """Features, shape (N, features), as an entry keeps them.

    None where a number is beyond float16 (or its largest, which may stand for one beyond): better
    not kept than kept wrong.
    """
    with np.errstate(over="ignore"):
        small = features.astype(np.float16, copy=False)
    # By their bits, which are in the order of the numbers: NaN and infinity come last.
    beyond = np.float16(LARGEST_KEPT).view(np.uint16)
    bits = np.ascontiguousarray(small).view(np.uint16) & np.uint16(0x7FFF)
    return small if (bits < beyond).all() else None


class FeatureWriter:
    """Writes one entry while the network runs, with what an earlier one knew.

    It is kept when the block ends without an error, and what is done when it is cancelled.
    """

    def __init__(
        self,
        cache: EmbeddingCache,
        key: str,
        feature_size: int,
        left: NDArray[np.bool_] | None,
    ) -> None:
        self._cache, self._key, self._feature_size = cache, key, feature_size
        self._path = cache.folder / f"{key}{SUFFIX}"
        self._left = left
        self._index: list[NDArray[np.int64]] = []
        self._empty: list[NDArray[np.int64]] = []
        self._given_up = False
        self._stack = ExitStack()

    def __enter__(self) -> FeatureWriter:
        try:
            ensure_folder(self._path.parent)
            temporary = self._stack.enter_context(atomic_path(self._path))
            self._file = self._stack.enter_context(temporary.open("r+b"))
            self._file.write(bytes(_HEADER.size))
        except (OSError, OutputError):
            self._abandon()
            return self
        if self._left is not None:
            self._take_over(self._left)
        return self

    def _take_over(self, left: NDArray[np.bool_]) -> None:
        """Copy what an earlier entry knows of tiles that are not looked at now."""
        with self._cache.find(self._key) as earlier:
            if earlier is None or earlier.feature_size != self._feature_size:
                return
            none = np.empty(0, np.int64)
            for index, features in earlier.blocks():
                mine = ~left[index]
                self.add(index[mine], features[mine], none)
            self._empty.append(earlier.empty[~left[earlier.empty]])

    def add(
        self,
        index: NDArray[np.int64],
        features: NDArray[np.float16] | None,
        empty: NDArray[np.int64],
    ) -> None:
        """Append features of tiles as `as_kept` gave them, and the tiles found empty."""
        if self._given_up:
            return
        if features is None:
            self._abandon()
            return
        try:
            self._file.write(features.tobytes())
        except OSError:
            self._abandon()
            return
        self._index.append(index.copy())
        self._empty.append(empty.copy())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._given_up:
            return
        goes_on = kind is not None and issubclass(kind, Cancelled) and self._left is not None
        if kind is not None and not (goes_on and self._index):
            self._abandon()
            return
        n_tiles, n_empty = (sum(map(len, some)) for some in (self._index, self._empty))
        try:
            for numbers in (*self._index, *self._empty):
                self._file.write(numbers.astype("<i8").tobytes())
            self._file.seek(0)
            self._file.write(_HEADER.pack(_MAGIC, self._feature_size, n_tiles, n_empty))
            self._stack.close()
        except (OSError, OutputError):
            self._abandon()
            return
        self._cache.evict()

    def _abandon(self) -> None:
        """Leave no file behind and take no more."""
        self._given_up = True
        with suppress(_Abandoned, OSError, OutputError):
            self._stack.__exit__(_Abandoned, _Abandoned(), None)


class _Abandoned(Exception):
    """Tells `atomic_path` to drop its file."""


def default_folder() -> Path:
    """Give the user's cache folder for features."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-sem-classify", appauthor=False) / "tiles"


def network_key(
    backbone_id: str,
    backbone_sha256: str,
    stages: tuple[int, ...],
    network_px: int,
    trunk_sha256: str = "",
) -> str:
    """Name what turns a tile into features, apart from the arithmetic that the engine uses."""
    return digest_of(backbone_id, backbone_sha256, stages, network_px, trunk_sha256)


def features_key(
    tiles: PlaneTiles, intensity: IntensityRange, network: str, engine: Engine, dense: bool = False
) -> str | None:
    """Name the features of a plane's tiles; None where the image's content cannot be named.

    The measured range stands for the intensity recipe: it is all of it that reaches the network.
    """
    try:
        content = image_key(tiles.image, tiles.plane, tiles.held)
    except (OSError, SemClassifyError):
        return None
    if content is None:
        return None
    # The ranges of 8-bit arithmetic are all of what was checked that changes features.
    ranges = (engine.checked or {}).get("ranges_sha256")
    arithmetic = engine.dtype, engine.feature_size, ranges
    told = content, tiles.plane, tiles.grid, intensity, network, arithmetic, dense
    over = tiles.evened_over
    return digest_of(*told, over) if over else digest_of(*told)


def _read_entry(file: BinaryIO) -> CachedFeatures:
    header = file.read(_HEADER.size)
    if len(header) != _HEADER.size:
        raise ValueError("cut short")
    magic, feature_size, n_tiles, n_empty = _HEADER.unpack(header)
    features = n_tiles * feature_size * 2
    expected = _HEADER.size + features + 8 * (n_tiles + n_empty)
    if magic != _MAGIC or os.fstat(file.fileno()).st_size != expected:
        raise ValueError("not a whole entry")
    file.seek(_HEADER.size + features)
    index = np.fromfile(file, "<i8", n_tiles).astype(np.int64)
    empty = np.fromfile(file, "<i8", n_empty).astype(np.int64)
    return CachedFeatures(file, feature_size, index, empty)
