"""One way in: any SEM file as a `SemImage`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.levels import specimen_at_level
from napari_sem_classify.core.image.sem_image import ColourMode, SemImage, Specimen
from napari_sem_classify.core.image.tile_note import SOURCE_RANGE
from napari_sem_classify.core.sem_io.info_bar import find_specimen
from napari_sem_classify.core.sem_io.listing import (
    MORE_RSCIIO_SUFFIXES,
    RSCIIO_SUFFIXES,
    TIFF_SUFFIXES,
)
from napari_sem_classify.core.sem_io.memory_budget import check_regular
from napari_sem_classify.core.sem_io.pixels import (
    Level,
    Pixels,
    check_usable,
    guarded,
    settle_colour,
    without_alpha_of_grey,
)
from napari_sem_classify.core.sem_io.raster import open_raster
from napari_sem_classify.core.sem_io.rosetta import open_rosetta
from napari_sem_classify.core.sem_io.tiff import open_tiff
from napari_sem_classify.core.sem_io.vendors import read_vendor
from napari_sem_classify.core.sem_io.vendors.values import VendorMetadata
from napari_sem_classify.core.sem_io.zarr_store import is_zarr, open_zarr

TIFF_HEADERS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
RASTER_HEADERS = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


def open_image(path: str | Path, level: int = 0) -> SemImage:
    """Open a TIFF, PNG, JPEG, BMP, zarr or OME-Zarr image, lazily where the file allows it.

    The pixel size comes from the vendor's metadata, the specimen area from metadata or pixels.

    Parameters
    ----------
    path : str or Path
        A file, or the folder of a zarr or OME-Zarr image.
    level : int
        Resolution of a multiscale image, 0 the finest; see `image_levels` and `nearest_level`.

    Raises
    ------
    ImageError
        In one sentence, when it is missing, no image, damaged, or too large to decode.
    """
    return open_with_levels(path, level)[0]


def open_with_levels(path: str | Path, level: int = 0) -> tuple[SemImage, tuple[Level, ...]]:
    """Open an image as `open_image` does, and tell all its resolutions, at least one.

    Returns
    -------
    image : SemImage
    levels : tuple of Level
        Shapes and pixel sizes, finest first.
    """
    path = Path(path).expanduser()
    pixels = _open_pixels(path, level)
    check_usable(str(path), pixels.data, pixels.has_channels)
    pixels = without_alpha_of_grey(pixels)
    vendor = _vendor(pixels)
    shape = pixels.source.shape
    downsample = pixels.levels[level].downsample if pixels.levels else 1.0
    size, size_source = pixels.pixel_size_nm, pixels.pixel_size_source
    if size is None and vendor is not None and vendor.pixel_size_nm is not None:
        size = vendor.pixel_size_nm * downsample
        size_source = vendor.size_source or f"{vendor.vendor} metadata"
    stored: ColourMode = "colour" if pixels.has_channels else "grey"
    if level:
        # One answer for all levels: the file tells the bar in finest pixels, and text that proves
        # a bar blurs away on coarse ones.
        specimen = specimen_at_level(open_image(path).specimen, pixels.levels[0].shape, shape)
    elif SOURCE_RANGE in pixels.plain:
        specimen = Specimen(Area(0, shape[0], 0, shape[1]), "metadata", "a tile of an image")
    else:
        specimen = guarded(path, lambda: find_specimen(pixels.data, shape, stored, vendor))
    # The bar does not count: a coloured logo on it does not make a grey image coloured.
    settled, colour = guarded(path, lambda: settle_colour(pixels, specimen.area))
    metadata = dict(pixels.plain)
    if vendor is not None:
        metadata |= vendor.plain()
    image = SemImage(
        name=_name(path),
        data=settled.data,
        specimen=specimen,
        pixel_size_nm=size,
        pixel_size_source=size_source or "not calibrated",
        vendor=vendor.vendor if vendor is not None else "",
        path=path,
        colour=colour,
        metadata=metadata,
        chunks=pixels.chunks,
        level=level,
    )
    return image, _calibrated(pixels, vendor)


def open_for_scale(path: str | Path, wanted_nm: float | None) -> SemImage:
    """Open the level of an image that suits a model of `wanted_nm` nm pixels, see `nearest_level`.

    The finest one where the model has no pixel size. Errors are those of `open_image`.
    """
    finest, levels = open_with_levels(path)
    if wanted_nm is None or finest.pixel_size_nm is None:
        return finest
    level = nearest_level(levels, wanted_nm)
    return open_image(path, level) if level else finest


def nearest_level(levels: tuple[Level, ...], wanted_nm: float) -> int:
    """The level to read for a model of `wanted_nm` nm pixels: the coarsest that is still as fine.

    Where even the finest is coarser than wanted, or nothing is calibrated, it is level 0.
    """
    good = 0
    for index, level in enumerate(levels):
        # A hair of tolerance: pyramids halve odd sizes, so pixel sizes are off by a pixel in many.
        if level.pixel_size_nm is not None and level.pixel_size_nm <= wanted_nm * 1.02:
            good = index
    return good


def pixel_size_from_scale_bar(
    start: tuple[float, float], end: tuple[float, float], length_um: float
) -> float:
    """Pixel size in nm from a line drawn along a scale bar.

    Parameters
    ----------
    start, end : (row, column)
        Ends of the line in pixels.
    length_um : float
        What the scale bar says, in micrometres.

    Raises
    ------
    ImageError
        When the line is shorter than 2 px, or the length is not a positive number.
    """
    pixels = float(((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5)
    if not pixels >= 2.0:
        raise ImageError("The line is too short: draw it along the whole scale bar.")
    if not 0.0 < length_um < float("inf"):
        raise ImageError(f"A scale bar of {length_um} µm is not possible: type its length in µm.")
    return length_um * 1000.0 / pixels


def open_numbers(path: str | Path) -> Pixels:
    """A file's pixels as the numbers that it stores, for labels: a palette's indices, no colours.

    Errors are those of `open_image`.
    """
    return _open_pixels(Path(path).expanduser(), 0, as_numbers=True)


def _vendor(pixels: Pixels) -> VendorMetadata | None:
    """What the maker wrote, which speaks of the finest level."""
    source = pixels.source
    if pixels.levels:
        source = replace(source, shape=pixels.levels[0].shape)
    return read_vendor(source)


def _calibrated(pixels: Pixels, vendor: VendorMetadata | None) -> tuple[Level, ...]:
    told = pixels.levels or (Level(pixels.source.shape, pixels.pixel_size_nm, 1.0),)
    finest = told[0].pixel_size_nm or (vendor.pixel_size_nm if vendor is not None else None)
    if finest is None:
        return told
    return tuple(
        replace(one, pixel_size_nm=one.pixel_size_nm or finest * one.downsample) for one in told
    )


def _open_pixels(path: Path, level: int, *, as_numbers: bool = False) -> Pixels:
    if not path.exists():
        raise ImageError(f"{path} does not exist: check the name and the folder.")
    if path.is_dir():
        if not is_zarr(path):
            raise ImageError(
                f"{path} is a folder, not an image: open it as a series, or choose a file in it."
            )
        return open_zarr(path, level)
    check_regular(path)
    # By content first: microscopes and people give files any suffix.
    head, suffix = _head(path), path.suffix.lower()
    if head.startswith(TIFF_HEADERS):
        return open_tiff(path, level, as_numbers=as_numbers)
    if suffix in TIFF_SUFFIXES and not head.startswith(RASTER_HEADERS):
        raise ImageError(
            f"{path} is named like a TIFF and holds something else: the file is damaged; copy it "
            "again from the microscope."
        )
    if level:
        raise ImageError(f"{path} has one resolution only, so level {level} is none.")
    if suffix in RSCIIO_SUFFIXES + MORE_RSCIIO_SUFFIXES:
        return open_rosetta(path)
    return open_raster(path, as_numbers=as_numbers)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}): check its rights.") from error
    if not head:
        raise ImageError(f"{path} is empty: copy it again from the microscope.")
    return head


def _name(path: Path) -> str:
    name = path.name
    for suffix in (".ome.zarr", ".ome.tif", ".ome.tiff"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem
