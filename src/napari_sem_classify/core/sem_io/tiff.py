"""TIFF: mapped where it is uncompressed, tile by tile where it is tiled, else page by page."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.sem_image import ArrayLike
from napari_sem_classify.core.sem_io.arrays import ChannelsLast, Palette, Stacked, View
from napari_sem_classify.core.sem_io.memory import (
    ALWAYS_FINE_BYTES,
    check_decoded_size,
    inflates_beyond,
)
from napari_sem_classify.core.sem_io.pixels import Level, Pixels, first_line, guarded
from napari_sem_classify.core.sem_io.tiff_tags import read_source

# tifffile's fallbacks for the missing imagecodecs package name it in their errors.
CODEC_PACKAGE = "imagecodecs"
# Codecs of Python's own that unpack without a limit, and the most that a byte can become.
UNLIMITED_CODECS = {8: ("zlib", 1032), 32946: ("zlib", 1032), 34925: ("lzma", 7000)}
_QUIET = logging.NullHandler()


def open_tiff(path: Path, level: int = 0) -> Pixels:
    """Open the largest image of a TIFF without reading its pixels.

    Uncompressed data is mapped, tiled data read tile by tile, compressed strips are decoded page by
    page within the limits of `check_decoded_size`.

    Parameters
    ----------
    path : Path
    level : int
        Resolution of a pyramid, 0 the finest.

    Raises
    ------
    ImageError
        When it is no TIFF, is cut short, or claims more than it can hold.
    """
    import tifffile

    # What tifffile logs about damaged tags is for developers: without a handler it goes to stderr.
    logging.getLogger("tifffile").addHandler(_QUIET)
    try:
        with tifffile.TiffFile(path) as tiff:
            return _open(path, tiff, level)
    except ImageError:
        raise
    except tifffile.TiffFileError as error:
        raise ImageError(
            f"{path} is not a readable TIFF ({first_line(error)}): the file is damaged or of "
            "another format."
        ) from error
    except Exception as error:  # a damaged tag can raise nearly anything inside the parser
        raise ImageError(
            f"{path} is a damaged TIFF ({first_line(error)}): copy it again from the microscope."
        ) from error


def _open(path: Path, tiff: Any, level: int) -> Pixels:
    if not tiff.pages:
        raise ImageError(f"{path} holds no image: the TIFF has no pages.")
    index = _largest(tiff.series)
    series = tiff.series[index]
    levels = list(series.levels)
    if not 0 <= level < len(levels):
        raise ImageError(f"{path} has {len(levels)} resolution levels, so level {level} is none.")
    chosen = levels[level]
    axes = str(chosen.axes)
    layout = axes.lstrip("".join(set(axes) - set("YXS")))
    if 0 in chosen.shape:
        raise ImageError(
            f"{path} says that it is {' × '.join(map(str, chosen.shape))} px, so it holds no "
            "image: the file is damaged; copy it again from the microscope."
        )
    if layout not in ("YX", "YXS", "SYX"):
        raise ImageError(
            f"{path} has axes {axes} of {tuple(chosen.shape)}, which is no image with rows and "
            "columns: the file is damaged or not an image."
        )
    _check_offsets(path, chosen.keyframe)
    data, chunks = _data(path, index, level, chosen, len(levels) > 1)
    if layout == "SYX":
        data = ChannelsLast(data)
    data, coloured = _displayed(chosen.keyframe, data)
    has_channels = "S" in layout or coloured
    rows, cols = (int(n) for n in data.shape[-3:-1]) if has_channels else data.shape[-2:]
    finest = _spatial(levels[0])[0]
    return Pixels(
        data=data,
        has_channels=has_channels,
        source=read_source(path, tiff, (int(rows), int(cols))),
        chunks=chunks,
        levels=tuple(Level(_spatial(one), None, finest / _spatial(one)[0]) for one in levels)
        if len(levels) > 1
        else (),
    )


def _largest(series: Any) -> int:
    """The series with the largest planes: thumbnails and labels come second in SEM files too."""
    areas = [rows * cols for rows, cols in (_spatial(one) for one in series)]
    return int(np.argmax(areas))


def _spatial(series: Any) -> tuple[int, int]:
    sizes = dict(zip(series.axes, series.shape, strict=False))
    return int(sizes.get("Y", 0)), int(sizes.get("X", 0))


def _check_offsets(path: Path, page: Any) -> None:
    """Refuse a page whose strips or tiles lie outside the file, or are too short to be pixels."""
    size = path.stat().st_size
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    held = sum(page.databytecounts)
    uncompressed = int(page.compression) == 1 and not page.is_tiled
    missing = uncompressed and held < (page.nbytes * page.bitspersample // 8) // max(
        1, page.dtype.itemsize
    )
    if not ends or max(ends) > size or missing:
        raise ImageError(
            f"{path} is cut short or damaged: its pixels are not all in the file; "
            "copy it again from the microscope."
        )


def _data(
    path: Path, index: int, level: int, series: Any, pyramid: bool
) -> tuple[ArrayLike, tuple[int, int] | None]:
    page = series.keyframe
    if series.dataoffset is not None and page.is_memmappable:
        end = series.dataoffset + series.nbytes
        if end > path.stat().st_size:
            raise ImageError(
                f"{path} is cut short: it should have {end} bytes; copy it again from the "
                "microscope."
            )
        mapped = _map(
            path, page.parent.byteorder + str(series.dtype.char), series.dataoffset, series.shape
        )
        return mapped, None
    leading = tuple(int(n) for n in series.shape[: len(series.shape) - len(page.shape)])
    one_page_a_plane = len(series.pages) == int(np.prod(leading, dtype=int))
    chunk = tuple(int(n) for n in page.chunks)
    block_bytes = int(np.prod(chunk, dtype=object)) * page.dtype.itemsize
    stored = max(page.databytecounts)
    by_chunks = page.is_tiled or not one_page_a_plane or pyramid
    if by_chunks and _has_decoder(page):
        check_decoded_size(path, block_bytes, stored)
        _check_inflation(path, page)
        return _by_chunks(path, index, level), _chunk_px(page)
    if not one_page_a_plane or level:
        raise ImageError(_needs_codec(path, page))
    check_decoded_size(path, int(page.nbytes), sum(page.databytecounts))
    _check_inflation(path, page)
    numbers = [_page_index(one) for one in series.pages]
    dtype = np.dtype(series.dtype)
    openers: list[Callable[[], ArrayLike]] = [_page_opener(path, number) for number in numbers]
    return Stacked(openers, leading, tuple(page.shape), dtype), None


def _page_index(page: Any) -> int:
    return int(page.index)


def _map(path: Path, dtype: str, offset: int, shape: tuple[int, ...]) -> ArrayLike:
    mapped: NDArray[Any] = np.memmap(path, np.dtype(dtype), "r", offset, tuple(shape))
    return mapped if mapped.dtype.isnative else View(mapped)


def _page_opener(path: Path, number: int) -> Callable[[], ArrayLike]:
    def decode() -> NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[number]
            if page.is_memmappable:
                offset = int(page.dataoffsets[0])
                return np.asarray(
                    _map(path, tiff.byteorder + str(np.dtype(page.dtype).char), offset, page.shape)
                )
            if not _has_decoder(page):
                return _decode_with_pillow(path, number, page)
            pixels: NDArray[Any] = page.asarray()
            return pixels

    return lambda: guarded(path, decode)


def _decode_with_pillow(path: Path, number: int, page: Any) -> NDArray[Any]:
    """Decode LZW and JPEG pages through libtiff where tifffile lacks its codec package."""
    from PIL import Image, UnidentifiedImageError

    from napari_sem_classify.core.sem_io.raster import pillow_without_limit

    try:
        with pillow_without_limit(), Image.open(path, formats=["TIFF"]) as image:
            image.seek(number)
            pixels = np.asarray(image)
    except UnidentifiedImageError as error:
        raise ImageError(_needs_codec(path, page)) from error
    if pixels.shape != tuple(page.shape):
        raise ImageError(_needs_codec(path, page))
    return pixels.astype(page.dtype, copy=False)


def _has_decoder(page: Any) -> bool:
    import tifffile

    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        return False
    return True


def _needs_codec(path: Path, page: Any) -> str:
    return (
        f"{path} is compressed with {page.compression.name}, which needs the package "
        f"{CODEC_PACKAGE}: install it, or save the image without compression."
    )


def _check_inflation(path: Path, page: Any) -> None:
    """Refuse strips and tiles that unpack to far more than their pixels."""
    codec, ratio = UNLIMITED_CODECS.get(int(page.compression), ("", 0))
    strip_bytes = int(np.prod(page.chunks, dtype=object)) * page.dtype.itemsize
    with path.open("rb") as file:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if count * ratio <= max(ALWAYS_FINE_BYTES, 2 * strip_bytes):
                continue
            file.seek(offset)
            if inflates_beyond(file.read(count), codec, 2 * strip_bytes + 2**20):
                raise ImageError(
                    f"{path} unpacks to more than the image it claims to be: the file is damaged "
                    "or not safe to open."
                )


def _by_chunks(path: Path, index: int, level: int) -> ArrayLike:
    """The series through tifffile's zarr store, which decodes only the chunks it is asked for."""
    import tifffile
    import zarr

    tiff = tifffile.TiffFile(path)
    try:
        store = tiff.series[index].aszarr(level=level)
        array = zarr.open_array(store, mode="r")
    except BaseException:
        tiff.close()
        raise
    view = View(array)
    weakref.finalize(view, _close, store, tiff)
    return view


def _close(store: Any, tiff: Any) -> None:
    store.close()
    tiff.close()


def _chunk_px(page: Any) -> tuple[int, int] | None:
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(page.rowsperstrip), int(page.imagewidth)


def _displayed(page: Any, data: ArrayLike) -> tuple[ArrayLike, bool]:
    """Apply what the file says about its numbers: a colour table, or black and white swapped."""
    photometric = int(page.photometric)
    dtype = np.dtype(data.dtype)
    if photometric == 3 and page.colormap is not None and dtype.kind == "u":
        table = np.asarray(page.colormap).T
        if (table == table[:, :1]).all():
            steps = np.diff(table[:, 0].astype(np.int64))
            if (steps > 0).all():
                return data, False
            grey = (table[:, 0] >> 8).astype(np.uint8)
            return View(data, lambda values: grey[values], np.uint8), False
        return Palette(data, (table >> 8).astype(np.uint8)), True
    if photometric == 0 and dtype.kind == "u" and page.samplesperpixel == 1:
        white = np.iinfo(dtype).max
        return View(data, lambda values: white - values), False
    return data, False
