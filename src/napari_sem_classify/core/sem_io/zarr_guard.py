"""Zarr folders read within bounds: files only, chunks of the size that the array tells.

zarr reads whatever lies in a chunk's place, whole, and most of its codecs unpack to whatever comes
out. Here the store judges each file before it is read, and each codec stops at a chunk's size.
"""

from __future__ import annotations

import io
import math
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.memory_budget import (
    check_decoded_size,
    check_regular,
    most_unpacked,
    unpacks_too_far,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_METADATA_BYTES = 64 * 2**20
MOST_CHUNKS_A_SHARD = 2**20
# Reading takes about 0.1 ms a chunk, so pieces of a few pixels are for small images only.
SMALLEST_CHUNK_PX, MOST_SMALL_CHUNKS = 256, 2**16
# A tile may lie across a border.
CHUNKS_AT_ONCE = 2
# Where zarr's own codecs keep the one of numcodecs that does the work.
_INNER = ("_gzip_codec", "_zstd_codec", "_blosc_codec", "_codec")
# RFC 8878: Zstandard's frames and blocks.
ZSTD_MAGIC, ZSTD_BLOCK_BYTES = b"\x28\xb5\x2f\xfd", 128 * 2**10


def regular_files_store(path: Path, most_bytes: int = MOST_METADATA_BYTES) -> Any:
    """A zarr store of a folder that reads only files, of `most_bytes` at most.

    A pipe in the place of a chunk never ends, and a chunk's file may be of any size.
    """
    from zarr.storage import LocalStore

    class RegularFiles(LocalStore):
        most_bytes: int

        async def get(self, key: str, *others: Any, **options: Any) -> Any:
            self._check(self.root / key)
            return await super().get(key, *others, **options)

        def get_sync(self, key: str, *others: Any, **options: Any) -> Any:
            self._check(self.root / key)
            return super().get_sync(key, *others, **options)

        def _check(self, at: Path) -> None:
            try:
                found = at.stat()
            except OSError:  # zarr knows what it does without a file
                return
            if stat.S_ISDIR(found.st_mode):
                return
            if not stat.S_ISREG(found.st_mode):
                check_regular(at)
            if found.st_size > self.most_bytes:
                raise unpacks_too_far(path)

        def __reduce__(self) -> tuple[Any, ...]:  # workers of a cluster make their own
            return regular_files_store, (path, self.most_bytes)

    store = RegularFiles(path, read_only=True)
    store.most_bytes = most_bytes
    return store


def open_guarded(path: Path) -> Any:
    """The array or group of a zarr folder, for reading; give its arrays to `guard_array`."""
    import zarr

    return zarr.open(regular_files_store(path), mode="r")


def guard_array(path: Path, array: Any, n_spatial: int = 2) -> Any:
    """The array itself, of whose chunks none unpacks to more than its size.

    Parameters
    ----------
    array : zarr.Array
        From `open_guarded`.
    n_spatial : int
        Number of its last axes that are rows, columns and colour.

    Raises
    ------
    ImageError
        When its chunks are too large for the memory, or too small and too many. Later, from
        reading: when a chunk is no file or holds more than it should.
    """
    chunk = tuple(int(n) for n in array.chunks)
    shard = tuple(int(n) for n in getattr(array, "shards", None) or chunk)
    chunk_bytes = int(array.dtype.itemsize) * math.prod(chunk)
    # The bytes of a stored chunk are not known beforehand: only its size in memory is judged.
    several = any(n > c for n, c in zip(array.shape, chunk, strict=True))
    check_decoded_size(path, chunk_bytes, chunk_bytes, chunk_bytes * (CHUNKS_AT_ONCE * several))
    a_plane = zip(array.shape[-n_spatial:], chunk[-n_spatial:], strict=True)
    pieces = math.prod(-(-int(n) // c) for n, c in a_plane)
    small = math.prod(chunk[-n_spatial:]) < SMALLEST_CHUNK_PX and pieces > MOST_SMALL_CHUNKS
    if small or math.prod(shard) // math.prod(chunk) > MOST_CHUNKS_A_SHARD:
        raise ImageError(
            f"{path} is stored in {pieces:,} pieces of {' × '.join(map(str, chunk))} px, which are "
            "too many to be read: save it with larger chunks."
        )
    shard_bytes = int(array.dtype.itemsize) * math.prod(shard)
    store = array.store
    store.most_bytes = max(store.most_bytes, most_unpacked(shard_bytes))
    _guard_codecs(path, array.async_array.codec_pipeline, shard_bytes, chunk_bytes)
    return array


def whole_array(path: Path, array: Any) -> NDArray[Any]:
    """All of an array from `open_guarded`, if it fits into the memory; errors as `guard_array`."""
    import numpy as np

    size = int(array.dtype.itemsize) * math.prod(int(n) for n in array.shape)
    check_decoded_size(path, size, size)
    return np.asarray(guard_array(path, array)[...])


def _guard_codecs(path: Path, codecs: Any, outer_bytes: int, inner_bytes: int) -> None:
    """Put a `Bounded` codec in the place of each of numcodecs', also within shards."""
    for codec in codecs:
        inner = getattr(codec, "codecs", None)
        if inner is not None:
            _guard_codecs(path, inner, inner_bytes, inner_bytes)
        for name in _INNER:
            if hasattr(type(codec), name):  # a cached property
                codec.__dict__[name] = _bounded(path, getattr(codec, name), outer_bytes)
        for name in ("compressor", "filters"):  # of zarr 2
            held = getattr(codec, name, None)
            if isinstance(held, (tuple, list)):
                several = tuple(_bounded(path, each, outer_bytes) for each in held)
                object.__setattr__(codec, name, several)
            elif held is not None:
                object.__setattr__(codec, name, _bounded(path, held, outer_bytes))


def _bounded(path: Path, codec: Any, expected: int) -> Any:
    if getattr(codec, "codec_id", "") == "pickle":
        raise ImageError(
            f"{path} holds Python pickles, which could run code, and was not opened: choose a "
            "zarr with pixels."
        )
    if isinstance(codec, Bounded):
        codec = codec.codec
    return Bounded(codec, most_unpacked(expected), path)


@dataclass(frozen=True)
class Bounded:
    """A codec of numcodecs that gives at most `limit` bytes, whatever it is given.

    Raises
    ------
    ImageError
        When data unpacks to more, before the memory is taken where the codec allows that.
    """

    codec: Any
    limit: int
    path: Path

    def decode(self, data: Any, out: Any = None) -> Any:
        """As numcodecs' codecs do."""
        import numpy as np

        name = str(getattr(self.codec, "codec_id", ""))
        unpack = _UNLIMITED.get(name)
        if unpack is not None:
            found: Any = unpack(bytes(data), self.limit + 1, self.codec)
        elif _claimed(name, data) > self.limit:
            raise unpacks_too_far(self.path)
        else:
            found = self.codec.decode(data)
        if memoryview(found).nbytes > self.limit:
            raise unpacks_too_far(self.path)
        if out is not None:
            np.copyto(out, np.frombuffer(found, out.dtype).reshape(out.shape))
        return found if out is None else out


def _gunzip(data: bytes, most: int, _codec: Any) -> bytes:
    import gzip

    return gzip.GzipFile(fileobj=io.BytesIO(data)).read(most)


def _inflate(data: bytes, most: int, _codec: Any) -> bytes:
    import zlib

    return zlib.decompressobj().decompress(data, most)


def _bunzip(data: bytes, most: int, _codec: Any) -> bytes:
    import bz2

    return bz2.BZ2File(io.BytesIO(data)).read(most)


def _unlzma(data: bytes, most: int, codec: Any) -> bytes:
    import lzma

    unpacker = lzma.LZMADecompressor(format=codec.format, filters=codec.filters)
    return unpacker.decompress(data, most)


# They have no limit of their own, and Python's decoders, which they are, have.
_UNLIMITED: dict[str, Callable[[bytes, int, Any], bytes]] = {
    "gzip": _gunzip,
    "zlib": _inflate,
    "bz2": _bunzip,
    "lzma": _unlzma,
}


def _claimed(name: str, data: Any) -> int:
    """Most bytes that a packed chunk says it holds; 0 where it does not say."""
    head = bytes(memoryview(data)[:16])
    if name == "blosc":
        return int.from_bytes(head[4:8], "little")
    if name == "lz4":
        return int.from_bytes(head[:4], "little")
    return _zstd_claim(bytes(data)) if name == "zstd" else 0


def _zstd_claim(data: bytes) -> int:
    """What a frame's header tells, which its decoder keeps to; else the most its blocks can hold.

    RFC 8878, sections 3.1.1.1 and 3.1.1.2.
    """
    if data[:4] != ZSTD_MAGIC or len(data) < 6:
        return 0
    flags = data[4]
    single = flags >> 5 & 1
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    length = (single, 2, 4, 8)[flags >> 6]
    if length:
        return int.from_bytes(data[at : at + length], "little") + 256 * (length == 2)
    return sum(_zstd_blocks(data, at))


def _zstd_blocks(data: bytes, at: int) -> Iterator[int]:
    last = 0
    while not last and at + 3 <= len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        yield ZSTD_BLOCK_BYTES if kind == 2 else size
        at += 3 + (1 if kind == 1 else size)
