"""Pages of TIFF files decoded: the one place for images, labels and maps.

tifffile decodes, with the package imagecodecs where that is installed; what neither can, Pillow's
libtiff is asked for. Every strip and tile is checked before it is unpacked: it may hold no more
than its pixels need.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.memory_budget import (
    ALWAYS_FINE_BYTES,
    check_decoded_size,
    inflates_beyond,
    most_unpacked,
    unpacks_too_far,
)
from napari_sem_classify.core.sem_io.picture_size import picture_size
from napari_sem_classify.core.sem_io.raster import pillow_without_limit

CODECS_EXTRA = "pip install 'napari-sem-classify[codecs]'"
ORIENTATION_TAG = 274
WHITE_IS_ZERO = 0
# Codecs of Python's own that unpack without a limit, and the most that a byte can become.
UNLIMITED_CODECS = {
    8: ("zlib", 1032),
    32946: ("zlib", 1032),
    50013: ("zlib", 1032),
    34925: ("lzma", 7000),
}
PACKBITS = 32773
JPEG = (6, 7, 33007, 34892)
LOW_BITS_FIRST = 2
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_stderr = threading.Lock()


def can_decode(page: Any) -> bool:
    """Whether tifffile has what it needs for a page's compression and predictor."""
    import tifffile

    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        return False
    return True


def needs_codec(path: Path, page: Any) -> str:
    """The sentence for a page that nothing here decodes."""
    name = getattr(page.compression, "name", f"codec {page.compression}")
    try:
        import imagecodecs  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError:
        return (
            f"{path} is compressed with {name}, which needs the package imagecodecs: "
            f"{CODECS_EXTRA}, or save the image without compression."
        )
    return f"{path} is compressed with {name}, which cannot be read: save it without compression."


def guard(path: Path, keyframe: Any) -> None:
    """Have a page check each strip and tile before it is unpacked.

    Raises
    ------
    ImageError
        Raised by the page's decoder, for data that unpacks to far more than its pixels.
    """
    if int(keyframe.compression) == 1 or getattr(keyframe.decode, "guarded", False):
        return
    decode: Callable[..., Any] = keyframe.decode
    codec = int(keyframe.compression)
    reversed_bits = codec in UNLIMITED_CODECS and keyframe.fillorder == LOW_BITS_FIRST
    bounded = codec in UNLIMITED_CODECS and _unpacks_into_a_limit(codec)
    # Chunks tell samples too, where those are interleaved.
    expected = int(np.prod(keyframe.chunks, dtype=object)) * keyframe.dtype.itemsize

    def too_far(data: bytes | None) -> bool:
        if data is None:
            return False
        in_order = data.translate(_REVERSED) if reversed_bits else data
        return unpacks_beyond(in_order, codec, most_unpacked(expected))

    def checked(data: bytes | None, index: int, /, **options: Any) -> Any:
        if not bounded and too_far(data):
            raise unpacks_too_far(path)
        try:
            return decode(data, index, **options)
        except Exception as error:
            if bounded and too_far(data):
                raise unpacks_too_far(path) from error
            raise

    checked.guarded = True  # type: ignore[attr-defined]
    # tifffile keeps the decoder of a page as a cached property.
    keyframe.__dict__["decode"] = checked


def _unpacks_into_a_limit(codec: int) -> bool:
    """Whether a codec fails by itself on more than is wanted, as libdeflate of imagecodecs does."""
    import tifffile

    decoder = tifffile.TIFF.DECOMPRESSORS[codec]
    return (decoder.__module__, decoder.__name__) == ("imagecodecs", "deflate_decode")


def unpacks_beyond(data: bytes, codec: int, limit: int) -> bool:
    """Whether a strip or tile unpacks to more than `limit` bytes, without unpacking it.

    LZW, ZSTD and the others not named here are unpacked by imagecodecs into `limit` bytes at most.
    """
    if codec in UNLIMITED_CODECS:
        name, ratio = UNLIMITED_CODECS[codec]
        return len(data) * ratio > max(ALWAYS_FINE_BYTES, limit) and inflates_beyond(
            data, name, limit
        )
    if codec == PACKBITS:
        return len(data) > limit
    size = picture_size(data, codec)
    return size is not None and math.prod(size) > limit


def page_pixels(path: Path, tiff: Any, number: int) -> NDArray[Any]:
    """Decode one page whole, as it is stored: without its orientation.

    Raises
    ------
    ImageError
        When nothing here decodes it, or it unpacks to more than it claims.
    """
    page = tiff.pages[number]
    if not can_decode(page.keyframe):
        return _by_pillow(path, number, page)
    guard(path, page.keyframe)
    pixels: NDArray[Any] = page.asarray()
    return pixels


def series_pixels(path: Path, tiff: Any, series: Any) -> NDArray[Any]:
    """Decode all planes of a series, whose size the caller has judged; errors as `page_pixels`."""
    if can_decode(series.keyframe):
        guard(path, series.keyframe)
        pixels: NDArray[Any] = np.asarray(series.asarray())
        return pixels
    planes = [page_pixels(path, tiff, int(page.index)) for page in series.pages]
    return np.stack(planes).reshape(series.shape)


def _by_pillow(path: Path, number: int, page: Any) -> NDArray[Any]:
    """Decode LZW, JPEG and other pages through libtiff, where tifffile lacks its codec package."""
    from PIL import Image, UnidentifiedImageError

    limit = most_unpacked(int(page.nbytes))
    if int(page.compression) == PACKBITS and max(page.databytecounts) > limit:
        raise unpacks_too_far(path)
    try:
        with _silent_stderr(), pillow_without_limit(), Image.open(path, formats=["TIFF"]) as image:
            image.seek(number)
            mode = image.mode
            # Pillow's own picture, its bytes in one piece, and the array.
            peak = 4 * math.prod(image.size) + 3 * int(page.nbytes)
            check_decoded_size(path, int(page.nbytes), sum(page.databytecounts), peak)
            pixels = _as_stored(np.asarray(image), page.tags.valueof(ORIENTATION_TAG))
    except UnidentifiedImageError as error:
        raise ImageError(needs_codec(path, page)) from error
    except OSError as error:
        if "decoder" in str(error) and "not available" in str(error):
            raise ImageError(needs_codec(path, page)) from error
        raise
    if pixels.ndim == 3 and page.shape == (pixels.shape[-1], *pixels.shape[:-1]):
        pixels = np.moveaxis(pixels, -1, 0)  # planes of colour, one after the other
    # Pillow makes 8 bits of 16 bit colour: that would be other grey values.
    if pixels.shape != tuple(page.shape) or pixels.dtype.itemsize < page.dtype.itemsize:
        raise ImageError(needs_codec(path, page))
    if int(page.photometric) == WHITE_IS_ZERO and mode in ("L", "1"):
        pixels = ~pixels  # Pillow has swapped black and white
    return pixels.astype(page.dtype, copy=False)


def _as_stored(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    """Undo Pillow's turning of a TIFF by its orientation; tifffile and maps of memory do not turn.

    TIFF 6.0 page 36: 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 to 8 the same with
    rows and columns swapped.
    """
    undo: dict[Any, Callable[[NDArray[Any]], NDArray[Any]]] = {
        2: lambda turned: turned[:, ::-1],
        3: lambda turned: turned[::-1, ::-1],
        4: lambda turned: turned[::-1],
        5: lambda turned: turned.swapaxes(0, 1),
        6: lambda turned: np.rot90(turned, 1),
        7: lambda turned: np.rot90(turned, 2).swapaxes(0, 1),
        8: lambda turned: np.rot90(turned, -1),
    }
    return undo[orientation](pixels) if orientation in undo else pixels


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep off the terminal what libtiff prints itself; the exception says it in a sentence."""
    with _stderr:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, AttributeError, ValueError):  # a window without a terminal
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
