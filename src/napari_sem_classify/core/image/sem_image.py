"""The image as the rest of the program sees it: lazy pixels, a scale, and where the specimen is."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.tile_note import SOURCE_RANGE, source_range

HELD_BYTES = 128 << 20

AreaSource = Literal["metadata", "pixels", "none", "user"]
ColourMode = Literal["grey", "colour"]


class ArrayLike(Protocol):
    """What a lazy array promises: numpy, dask, zarr, memory maps and viewer layers all do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Specimen:
    """The rows and columns that show the specimen, and how that is known.

    Attributes
    ----------
    area : Area
        Pixels of the specimen, without the info bar.
    source : {"metadata", "pixels", "none", "user"}
        Read from the file, found in the pixels, no bar found, or set by the user.
    reason : str
        One phrase for the user: "96 rows at the bottom, from metadata (FEI)".
    """

    area: Area
    source: AreaSource = "none"
    reason: str = "no info bar found"


@dataclass(frozen=True, slots=True)
class SemImage:
    """A scanning-electron-microscope image whose pixels are read region by region.

    Attributes
    ----------
    name : str
        Short name, usually the file's stem.
    data : array-like
        Shape (..., Y, X), or (..., Y, X, 3 or 4) where `colour` is "colour". Leading axes are a
        stack's. Nothing but `read` should index it.
    specimen : Specimen
        Where the specimen is.
    pixel_size_nm : float or None
        Side of a pixel in nanometres; None where the image is not calibrated.
    pixel_size_source : str
        Where the pixel size comes from ("FEI metadata", "set by user", "not calibrated").
    vendor : str
        Microscope maker, "" where unknown.
    path : Path or None
        The file, None for a layer that came from none.
    colour : {"grey", "colour"}
        Colour goes through luminance when read.
    metadata : mapping
        What the file says under plain names (accelerating voltage, detector, ...).
    chunks : (int, int) or None
        Rows and columns of the blocks in which the data is stored, None where it is one block.
    level : int
        Which resolution of a multiscale image this is, 0 the finest. All lengths in pixels are
        pixels of this level.
    """

    name: str
    data: ArrayLike
    specimen: Specimen
    pixel_size_nm: float | None = None
    pixel_size_source: str = "not calibrated"
    vendor: str = ""
    path: Path | None = None
    colour: ColourMode = "grey"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    chunks: tuple[int, int] | None = None
    level: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of one plane, info bar included."""
        rows, cols = self.data.shape[-3:-1] if self.colour == "colour" else self.data.shape[-2:]
        return int(rows), int(cols)

    @property
    def leading_shape(self) -> tuple[int, ...]:
        """Lengths of the axes before rows and columns: () for a single image."""
        n_spatial = 3 if self.colour == "colour" else 2
        return tuple(int(n) for n in self.data.shape[: self.data.ndim - n_spatial])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored pixels."""
        stored: np.dtype[Any] = np.dtype(self.data.dtype)
        return stored

    @property
    def area(self) -> Area:
        """The specimen area."""
        return self.specimen.area

    @property
    def source_range(self) -> tuple[float, float] | None:
        """Black and white of the image that a tile was cut from; None for any other image."""
        return source_range(self.metadata)

    def planes(self) -> Iterator[tuple[int, ...]]:
        """Index of each plane of a stack; one empty index for a single image."""
        return iter(np.ndindex(*self.leading_shape))

    def with_area(self, area: Area, reason: str = "set by user") -> SemImage:
        """The same image with another specimen area.

        Raises
        ------
        ImageError
            When the area leaves the image.
        """
        rows, cols = self.shape
        if area.bottom > rows or area.right > cols:
            raise ImageError(
                f"{self.name}: the area {area.as_list()} leaves the image of {rows} × {cols} px: "
                "choose rows and columns inside it."
            )
        return replace(self, specimen=Specimen(area, "user", reason))

    def with_pixel_size(self, pixel_size_nm: float, source: str = "set by user") -> SemImage:
        """The same image with a pixel size in nanometres.

        Raises
        ------
        ImageError
            When the size is not a positive number.
        """
        if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
            raise ImageError(f"{self.name}: a pixel size of {pixel_size_nm} nm is not usable.")
        return replace(self, pixel_size_nm=float(pixel_size_nm), pixel_size_source=source)

    def with_source_range(self, low: float, high: float) -> SemImage:
        """The same image, as a tile of one whose black and white are known."""
        return replace(self, metadata={**self.metadata, SOURCE_RANGE: [low, high]})

    def read(self, window: Area, plane: tuple[int, ...] = ()) -> NDArray[Any]:
        """Pixels of a window as grey, in the stored dtype (luminance in float32 for colour).

        Parameters
        ----------
        window : Area
            Rows and columns of the plane; must lie inside it.
        plane : tuple of int
            Index along the leading axes, ``()`` for a single image.

        Returns
        -------
        ndarray, shape (window.height, window.width)

        Raises
        ------
        ImageError
            When the file cannot be read there.
        """
        key = (*plane, slice(window.top, window.bottom), slice(window.left, window.right))
        try:
            pixels = np.asarray(self.data[key])
        except (OSError, ValueError, RuntimeError, EOFError, zlib.error, lzma.LZMAError) as error:
            where = self.path or self.name
            raise ImageError(
                f"{where} cannot be read in rows {window.top} to {window.bottom} ({error}): "
                "the file is probably damaged; copy it again from the microscope."
            ) from error
        return luminance(pixels) if self.colour == "colour" else pixels


def hold_plane(image: SemImage, plane: tuple[int, ...] = ()) -> SemImage | None:
    """Read a plane into memory once, where it is stored in chunks and small enough.

    A run looks at an image three times: for its content's name, its range of intensities and its
    tiles. Chunks are decoded at each look, so a plane of at most `HELD_BYTES` is read whole first.

    Returns
    -------
    SemImage or None
        A single grey image of the same shape and area; None where the image is to be read by
        region.

    Raises
    ------
    ImageError
        When the file cannot be read.
    """
    rows, cols = image.shape
    if image.chunks is None or rows * cols * image.dtype.itemsize > HELD_BYTES:
        return None
    pixels = image.read(Area(0, rows, 0, cols), plane)
    return replace(image, data=pixels, colour="grey", chunks=None)


def luminance(pixels: NDArray[Any]) -> NDArray[Any]:
    """Grey values of RGB or RGBA pixels (ITU-R BT.709 luma weights), in the same range.

    uint8 and uint16 stay what they are (rounded); other types become float32.

    Parameters
    ----------
    pixels : ndarray, shape (..., 3 or 4)

    Returns
    -------
    ndarray, shape (...)
    """
    weights = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    grey = pixels[..., :3].astype(np.float32) @ weights
    return np.rint(grey).astype(pixels.dtype) if pixels.dtype in (np.uint8, np.uint16) else grey


def plane_suffix(plane: tuple[int, ...]) -> str:
    """What a plane of a stack adds to a file's name: "" for a single image."""
    return "".join(f"_z{index:04d}" for index in plane)
