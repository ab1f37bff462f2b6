"""Pixels as a file stores them, and what has to be decided about them once: grey or colour."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import ArrayLike, ColourMode
from napari_sem_classify.core.sem_io.arrays import FirstChannel
from napari_sem_classify.core.sem_io.source import Source

MOST_AXES = 8
MOST_PLANES = 100_000
SAMPLE_BLOCKS_A_SIDE = 4
SAMPLE_BLOCK_PX = 128
WHOLE_SAMPLE_PX = 4_000_000
# JPEG turns grey into RGB that may differ by a rounding or two.
GREY_TOLERANCE = 2
# JPEG also smears the colours of a logo on the info bar a few rows into the specimen.
LARGEST_COLOURED_SHARE = 0.002


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a multiscale image.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    pixel_size_nm : float or None
    downsample : float
        How many pixels of level 0 one of its pixels spans along rows.
    """

    shape: tuple[int, int]
    pixel_size_nm: float | None
    downsample: float


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a file format's module hands over.

    Attributes
    ----------
    data : array-like, shape (..., Y, X) or (..., Y, X, C)
    has_channels : bool
        Whether the last axis is colour channels.
    source : Source
        Where the vendors' modules look for metadata.
    chunks : (int, int) or None
        Rows and columns of the stored blocks.
    levels : tuple of Level
        All resolutions of a multiscale image, () otherwise.
    pixel_size_nm : float or None
        Where the format itself says it (OME-Zarr).
    pixel_size_source : str
    plain : dict
        What the format itself tells, under plain names.
    palette : uint8, shape (N, 3), or None
        Colours of the numbers in `data`, where a palette image was asked for as numbers.
    """

    data: ArrayLike
    has_channels: bool
    source: Source
    chunks: tuple[int, int] | None = None
    levels: tuple[Level, ...] = ()
    pixel_size_nm: float | None = None
    pixel_size_source: str = ""
    plain: dict[str, Any] = field(default_factory=dict)
    palette: NDArray[np.uint8] | None = None


def settle_colour(pixels: Pixels, area: Area) -> tuple[Pixels, ColourMode]:
    """Decide from a bounded sample of an area whether channels are colour; drop grey ones.

    Raises
    ------
    ImageError
        When the sample cannot be read.
    """
    if not pixels.has_channels:
        return pixels, "grey"
    if not _sample_is_grey(pixels.data, area):
        return pixels, "colour"
    return first_channel(pixels), "grey"


def without_alpha_of_grey(pixels: Pixels) -> Pixels:
    """Keep the first channel where there are not the three or four of colour: grey with alpha."""
    if pixels.has_channels and pixels.data.shape[-1] not in (3, 4):
        return first_channel(pixels)
    return pixels


def first_channel(pixels: Pixels) -> Pixels:
    """The first of the channels alone."""
    if isinstance(pixels.data, np.ndarray):
        grey: ArrayLike = pixels.data[..., 0]
    else:
        grey = FirstChannel(pixels.data)
    return replace(pixels, data=grey, has_channels=False)


def check_usable(name: str, data: ArrayLike, has_channels: bool) -> None:
    """Refuse arrays that hold no picture.

    Raises
    ------
    ImageError
        For an empty array, fewer than two axes, or values that are not real numbers.
    """
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "buif":
        raise ImageError(
            f"{name} holds values of type {dtype}, not grey values: export it as 8 or 16 bit TIFF."
        )
    wanted = 3 if has_channels else 2
    if data.ndim > MOST_AXES or _planes(data, wanted) > MOST_PLANES:
        raise ImageError(
            f"{name} has {data.ndim} axes and {_planes(data, wanted):,} planes: at most "
            f"{MOST_AXES} axes and {MOST_PLANES:,} planes can be looked at; save it in parts."
        )
    if data.ndim < wanted or min(int(n) for n in data.shape) < 1:
        raise ImageError(
            f"{name} has the shape {tuple(data.shape)}, which is not an image: "
            "choose a file with rows and columns of pixels."
        )


def _planes(data: ArrayLike, n_spatial: int) -> int:
    return math.prod(int(n) for n in data.shape[: max(0, data.ndim - n_spatial)])


def guarded(path: object, read: Callable[[], Any]) -> Any:
    """Run a read of pixels; a damaged file becomes one sentence.

    Raises
    ------
    ImageError
        When the pixels cannot be decoded.
    """
    try:
        return read()
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(
            f"{path} does not fit into the memory: save it as a tiled or uncompressed TIFF, "
            "or as OME-Zarr."
        ) from error
    except Exception as error:  # decoders raise whatever their format library raises
        raise ImageError(
            f"{path} cannot be read ({first_line(error)}): the file is probably damaged; "
            "copy it again from the microscope."
        ) from error


def first_line(error: BaseException) -> str:
    """A library's complaint, short enough for a sentence."""
    text = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".:")
    return text if len(text) <= 120 else text[:117] + "..."


def _sample_is_grey(data: ArrayLike, area: Area) -> bool:
    for block in _sample_blocks(data, area):
        if block.dtype.kind in "ui" and _channels_are_one(block):
            continue  # nearly every micrograph, and sooner told
        # With NaN in one channel only, the comparison fails and the image counts as colour.
        first = block[..., :1].astype(np.float64)
        others = block[..., 1:3].astype(np.float64)
        tolerance = GREY_TOLERANCE if np.dtype(data.dtype) == np.uint8 else 0
        same = (np.abs(others - first) <= tolerance) | (np.isnan(others) & np.isnan(first))
        if np.mean(~same.all(axis=-1)) > LARGEST_COLOURED_SHARE:
            return False
    return True


def _channels_are_one(block: NDArray[Any]) -> bool:
    first, others = block[..., 0], range(1, min(3, block.shape[-1]))
    return all(bool((block[..., number] == first).all()) for number in others)


def _sample_blocks(data: ArrayLike, area: Area) -> list[NDArray[Any]]:
    """Blocks of the first plane's area, evenly spread; all of it where it is small."""
    leading = (0,) * (data.ndim - 3)
    small = area.height * area.width <= WHOLE_SAMPLE_PX
    # A narrow area has the same block several times.
    blocks = [area] if small else dict.fromkeys(area.spread(SAMPLE_BLOCKS_A_SIDE, SAMPLE_BLOCK_PX))
    return [
        np.asarray(data[(*leading, slice(b.top, b.bottom), slice(b.left, b.right))]) for b in blocks
    ]
