"""TIFF: mapped where it is uncompressed, tile by tile where it is tiled, else page by page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.sem_image import ArrayLike
from napari_sem_classify.core.image.tile_note import noted
from napari_sem_classify.core.sem_io.arrays import (
    ArrayView,
    ChannelsLast,
    FirstChannel,
    Inks,
    Palette,
    Stacked,
)
from napari_sem_classify.core.sem_io.memory_budget import check_decoded_size, decoding_budget
from napari_sem_classify.core.sem_io.pixels import Level, Pixels, first_line, guarded
from napari_sem_classify.core.sem_io.raster import orientation_note
from napari_sem_classify.core.sem_io.tiff_chunks import TiffChunks
from napari_sem_classify.core.sem_io.tiff_decode import (
    JPEG,
    ORIENTATION_TAG,
    WHITE_IS_ZERO,
    can_decode,
    needs_codec,
    page_pixels,
)
from napari_sem_classify.core.sem_io.tiff_opening import opened_tiff
from napari_sem_classify.core.sem_io.tiff_tags import OLYMPUS_SIS, read_source

# PhotometricInterpretation, TIFF 6.0 page 37 and on.
PALETTE, SEPARATED, YCBCR, CIELAB = 3, 5, 6, 8
IMAGE_DESCRIPTION = 270


def open_tiff(path: Path, level: int = 0, *, as_numbers: bool = False) -> Pixels:
    """Open the largest image of a TIFF without reading its pixels.

    Uncompressed data is mapped, tiled data read tile by tile, compressed strips are decoded page by
    page within the limits of `check_decoded_size`.

    `level` is the resolution of a pyramid, 0 the finest. With `as_numbers`, for labels, a palette
    image gives its numbers with its colours in `palette`, and black and white are as stored.

    Raises
    ------
    ImageError
        When it is no TIFF, is cut short, or claims more than it can hold.
    """
    import tifffile

    try:
        with opened_tiff(path) as tiff:
            return _open(path, tiff, level, as_numbers)
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


def _open(path: Path, tiff: Any, level: int, as_numbers: bool) -> Pixels:
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
    table = _colour_table(chosen.keyframe) if as_numbers else None
    has_channels = "S" in layout
    if not as_numbers:
        data, has_channels = _displayed(chosen.keyframe, data, has_channels)
    rows, cols = (int(n) for n in data.shape[-3:-1]) if has_channels else data.shape[-2:]
    finest = _spatial(levels[0])[0]
    source = read_source(path, tiff, (int(rows), int(cols)), levels[0].keyframe)
    return Pixels(
        data=data,
        has_channels=has_channels,
        source=source,
        chunks=chunks,
        levels=tuple(Level(_spatial(one), None, finest / _spatial(one)[0]) for one in levels)
        if len(levels) > 1
        else (),
        plain=orientation_note(chosen.keyframe.tags.valueof(ORIENTATION_TAG))
        | noted(source.text_of(IMAGE_DESCRIPTION)),
        palette=table,
    )


def _largest(series: Any) -> int:
    """The series with the largest planes: thumbnails and labels come second in SEM files too.

    Of Olympus' files the largest that is calibrated: a preview with a scale bar may be as large.
    """
    areas = [rows * cols for rows, cols in (_spatial(one) for one in series)]
    calibrated = [OLYMPUS_SIS in one.keyframe.tags for one in series]
    if any(calibrated):
        areas = [area * known for area, known in zip(areas, calibrated, strict=True)]
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
    decodable = can_decode(page)
    # Small strips of a page that is too large to be decoded whole are read as tiles are.
    small_strips = int(page.nbytes) > decoding_budget() and block_bytes < int(page.nbytes)
    by_chunks = page.is_tiled or not one_page_a_plane or pyramid or small_strips
    if by_chunks and decodable:
        check_decoded_size(path, block_bytes, stored)
        return TiffChunks(path, index, level), _chunk_px(page)
    if not one_page_a_plane or level:
        raise ImageError(needs_codec(path, page))
    check_decoded_size(path, int(page.nbytes), sum(page.databytecounts))
    openers = [_page_opener(path, int(one.index)) for one in series.pages]
    return Stacked(openers, leading, tuple(page.shape), series.dtype), None


def _map(path: Path, dtype: str, offset: int, shape: tuple[int, ...]) -> ArrayLike:
    mapped: NDArray[Any] = np.memmap(path, np.dtype(dtype), "r", offset, tuple(shape))
    return mapped if mapped.dtype.isnative else ArrayView(mapped)


def _page_opener(path: Path, number: int) -> Callable[[], ArrayLike]:
    def decode() -> ArrayLike:
        with opened_tiff(path, checked=True) as tiff:
            page = tiff.pages[number]
            if page.is_memmappable:
                dtype = tiff.byteorder + str(np.dtype(page.dtype).char)
                return _map(path, dtype, int(page.dataoffsets[0]), page.shape)
            return page_pixels(path, tiff, number)

    return lambda: guarded(path, decode)


def _chunk_px(page: Any) -> tuple[int, int] | None:
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(page.rowsperstrip), int(page.imagewidth)


def _displayed(page: Any, data: ArrayLike, channels: bool) -> tuple[ArrayLike, bool]:
    """The data shown as the file says, and whether its last axis is colour then."""
    photometric = int(page.photometric)
    dtype = np.dtype(data.dtype)
    table = _colour_table(page)
    if table is not None and dtype.kind == "u":
        if (table == table[:, :1]).all():
            steps = np.diff(page.colormap[0].astype(np.int64))
            if (steps > 0).all():
                return data, False
            grey = np.ascontiguousarray(table[:, 0])
            return ArrayView(data, lambda values: grey[values], np.uint8), False
        return Palette(data, table), True
    if photometric == WHITE_IS_ZERO and dtype.kind == "u" and page.samplesperpixel == 1:
        white = np.iinfo(dtype).max
        return ArrayView(data, lambda values: white - values), False
    if photometric == SEPARATED and channels and data.shape[-1] >= 4 and dtype.kind == "u":
        return Inks(data), True
    stored_luma = photometric == YCBCR and int(page.compression) not in JPEG
    if channels and (stored_luma or photometric == CIELAB):
        return FirstChannel(data), False
    return data, channels


def _colour_table(page: Any) -> NDArray[np.uint8] | None:
    """Colours of a palette image, uint8, shape (N, 3); None for any other."""
    if int(page.photometric) != PALETTE or page.colormap is None:
        return None
    table: NDArray[np.uint8] = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    return table
