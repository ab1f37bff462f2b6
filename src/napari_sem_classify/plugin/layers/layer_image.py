"""From a layer of the viewer to the image that core works on, and the notes that travel between.

The notes are in ``layer.metadata["sem_classify"]`` and speak of the finest level: its shape, its
pixel size, its specimen area. Of a multiscale layer they also say which level is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.levels import level_factors, specimen_at_level
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.sem_io import Level, image_from_array

if TYPE_CHECKING:
    from napari.layers import Image, Layer

METADATA_KEY = "sem_classify"
# Scales and metadata that differ by less are the same pixel size.
SAME_PIXEL_SIZE = 0.001
SQUARE_TOLERANCE = 0.01
_SOURCES = ("metadata", "pixels", "none", "user")


def layer_metadata(image: SemImage) -> dict[str, Any]:
    """What is known about an image, ``{"sem_classify": {...}}``, for a layer's metadata.

    It holds numbers, texts and lists only, so that it can be saved.
    """
    specimen = image.specimen
    return {
        METADATA_KEY: {
            "path": str(image.path) if image.path is not None else None,
            "vendor": image.vendor,
            "pixel_size_nm": image.pixel_size_nm,
            "pixel_size_source": image.pixel_size_source,
            "shape": list(image.shape),
            "specimen": specimen.area.as_list(),
            "specimen_source": specimen.source,
            "specimen_reason": specimen.reason,
            "microscope": dict(image.metadata),
        }
    }


def image_from_layer(layer: Image, level: int | None = None) -> SemImage:
    """The image that a layer shows, lazily; of a multiscale layer the level that is to be read.

    The pixel size is the layer's scale where its units are lengths. The specimen area comes from
    the layer's metadata where it was noted for an image of this size, else from the pixels.

    Level 0 is the finest; the one noted in the layer is read when left out, see `noted_level`.
    ImageError where the layer holds no picture or cannot be read.
    """
    notes = notes_of(layer)
    level = noted_level(layer) if level is None else level
    shape = spatial_shape(layer)
    size = pixel_size_nm(layer)
    path = notes.get("path") or getattr(layer.source, "path", None)
    microscope = notes.get("microscope")

    def at(number: int, size_nm: float | None, specimen: Specimen | None) -> SemImage:
        return image_from_array(
            layer.data[number] if layer.multiscale else layer.data,
            layer.name,
            rgb=bool(getattr(layer, "rgb", False)),
            pixel_size_nm=size_nm,
            pixel_size_source=size_source(size, notes),
            specimen=specimen,
            vendor=str(notes.get("vendor") or ""),
            metadata=microscope if isinstance(microscope, Mapping) else {},
            path=Path(path) if path else None,
        )

    finest = at(0, size, noted_specimen(notes, shape))
    if level == 0:
        return finest
    at_level = spatial_shape(layer, level)
    coarser_nm = None if size is None else size * level_factors(shape, at_level)[1]
    coarse = at(level, coarser_nm, specimen_at_level(finest.specimen, shape, at_level))
    return replace(coarse, level=level)


def notes_of(layer: Layer) -> Mapping[str, Any]:
    """What this plugin noted in a layer's metadata, empty where there is nothing usable."""
    notes = layer.metadata.get(METADATA_KEY)
    return notes if isinstance(notes, Mapping) else {}


def spatial_shape(layer: Layer, level: int = 0) -> tuple[int, int]:
    """Rows and columns of an image layer, of one of its levels where it is multiscale."""
    data = layer.data[level] if getattr(layer, "multiscale", False) else layer.data
    shape = data.shape[:-1] if getattr(layer, "rgb", False) else data.shape
    return int(shape[-2]), int(shape[-1])


def noted_level(layer: Layer) -> int:
    """The level of a multiscale layer that is to be read, 0 for any other layer."""
    level = notes_of(layer).get("level", 0)
    if not getattr(layer, "multiscale", False) or not isinstance(level, int):
        return 0
    return level if 0 <= level < len(layer.data) else 0


def layer_levels(layer: Image) -> tuple[Level, ...]:
    """The levels of a layer with the leading axes of the finest, finest first; at least one."""
    size, full = pixel_size_nm(layer), spatial_shape(layer)
    if not layer.multiscale:
        return (Level(full, size, 1.0),)
    n_spatial = 3 if layer.rgb else 2
    leading = tuple(layer.data[0].shape[:-n_spatial])
    levels = []
    for number, data in enumerate(layer.data):
        if tuple(data.shape[:-n_spatial]) != leading:
            break
        shape = spatial_shape(layer, number)
        rows, cols = level_factors(full, shape)
        levels.append(Level(shape, None if size is None else size * cols, rows))
    return tuple(levels)


def level_steps(layer: Layer, level: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixels of a level lie on the finest one: ``finest = steps * pixel + start``.

    Returns
    -------
    steps, start : float64, shape (2,)
        Along rows and columns, integers being pixel centres.
    """
    steps = np.array(level_factors(spatial_shape(layer), spatial_shape(layer, level)))
    return steps, (steps - 1.0) / 2.0


def pixels_at(layer: Layer, world: Any) -> NDArray[np.float64]:
    """Row and column, in pixels of the level that is read, of places in an image layer's world.

    Parameters
    ----------
    world : array-like, shape (N, n)
        The layer's last `n` world coordinates; leading ones that are missing count as 0.
    """
    steps, start = level_steps(layer, noted_level(layer))
    world = np.atleast_2d(np.asarray(world, dtype=float))[:, -layer.ndim :]
    full = np.pad(world, ((0, 0), (layer.ndim - world.shape[1], 0)))
    finest = np.array([np.asarray(layer.world_to_data(place))[-2:] for place in full])
    return np.asarray((finest.reshape(-1, 2) - start) / steps)


def world_of(layer: Layer, pixel: Any) -> NDArray[np.float64]:
    """Place in an image layer's world of a row and column of the level that is read.

    The other way round from `pixels_at`; leading axes stand at 0.
    """
    steps, start = level_steps(layer, noted_level(layer))
    finest = np.asarray(pixel, dtype=float) * steps + start
    return np.asarray(layer.data_to_world((*(0,) * (layer.ndim - 2), *finest)))


def plane_at(layer: Layer, point: Any, leading_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Plane of a stack's layer that is shown where the viewer's sliders stand at `point`.

    The plane of a single image, without leading axes, is ().
    """
    if not leading_shape:
        return ()
    place = layer.world_to_data(tuple(point)[-layer.ndim :])
    steps = zip(place, leading_shape, strict=False)
    return tuple(int(np.clip(round(float(at)), 0, size - 1)) for at, size in steps)


def pixel_size_nm(layer: Layer) -> float | None:
    """Side of a layer's finest pixels in nm, as they lie in the viewer's world.

    Scale, rotation, shear, affine, units and flips all count. None where the pixels are not
    square there, or have no length; see `pixel_size_note`.
    """
    sides = pixel_sides(layer, _lengths_nm(layer))
    return None if sides is None or not sides.square else sides.cols


def pixel_size_note(layer: Layer) -> str:
    """Why a layer has no pixel size, where there is more to say than that nobody set one."""
    sides = pixel_sides(layer, _lengths_nm(layer))
    if sides is not None and not sides.square:
        if sides.skewed:
            return f"pixels are sheared on the screen ({sides.cols:.4g} × {sides.rows:.4g} nm)"
        return f"pixels are not square ({sides.cols:.4g} × {sides.rows:.4g} nm)"
    microscope = notes_of(layer).get("microscope")
    note = microscope.get("note") if isinstance(microscope, Mapping) and sides is None else None
    return str(note) if note else ""


@dataclass(frozen=True, slots=True)
class PixelSides:
    """Lengths of a pixel along rows and columns, and whether they meet at another angle."""

    rows: float
    cols: float
    skewed: bool

    @property
    def square(self) -> bool:
        """Whether both sides are the same within a percent, at right angles."""
        longer = max(self.rows, self.cols)
        return not self.skewed and abs(self.rows - self.cols) <= SQUARE_TOLERANCE * longer


def pixel_sides(layer: Layer, lengths: NDArray[np.float64]) -> PixelSides | None:
    """Sides of a layer's finest pixels in its world; None where they reach along no length.

    Parameters
    ----------
    lengths : float64, shape (layer.ndim,)
        What a world unit of each axis is worth; NaN for axes that are no lengths.
    """
    if _only_scaled(layer):  # the usual case, without a rounding
        rows, cols = (abs(float(layer.scale[axis])) * float(lengths[axis]) for axis in (-2, -1))
        return PixelSides(rows, cols, skewed=False) if rows > 0 and cols > 0 else None
    origin = np.zeros(layer.ndim)
    start = np.asarray(layer.data_to_world(tuple(origin)))
    steps = []
    for axis in (-2, -1):
        one = origin.copy()
        one[axis] = 1.0
        step = np.asarray(layer.data_to_world(tuple(one))) - start
        # An axis that the pixels do not reach along need not be a length.
        steps.append(np.where(np.abs(step) > 1e-12 * np.abs(step).max(), step * lengths, 0.0))
    # Rotated there and back, a length differs in its last digits.
    rows, cols = (float(f"{np.linalg.norm(step):.12g}") for step in steps)
    if not (np.isfinite([rows, cols]).all() and rows > 0 and cols > 0):
        return None
    skewed = abs(float(steps[0] @ steps[1])) > SQUARE_TOLERANCE * rows * cols
    return PixelSides(rows, cols, skewed)


def _only_scaled(layer: Layer) -> bool:
    eye = np.eye(layer.ndim)
    return (
        np.array_equal(layer.affine.affine_matrix, np.eye(layer.ndim + 1))
        and np.array_equal(layer.rotate, eye)
        and not np.any(np.asarray(layer.shear) - eye if np.ndim(layer.shear) == 2 else layer.shear)
    )


def _lengths_nm(layer: Layer) -> NDArray[np.float64]:
    return np.array(
        [
            float((1 * unit).to("nm").magnitude)
            if unit.dimensionality == {"[length]": 1}
            else np.nan
            for unit in layer.units
        ]
    )


def size_source(size: float | None, notes: Mapping[str, Any]) -> str:
    """Where a layer's pixel size comes from: as noted, as long as it is the size that was noted."""
    noted = notes.get("pixel_size_nm")
    if size is None or not isinstance(noted, (int, float)):
        return "layer scale"
    same = abs(size - noted) <= SAME_PIXEL_SIZE * size
    return str(notes.get("pixel_size_source") or "layer scale") if same else "layer scale"


def noted_specimen(notes: Mapping[str, Any], shape: tuple[int, int]) -> Specimen | None:
    """The area noted for an image of this shape; None where the layer's data is another by now."""
    noted, source = notes.get("specimen"), notes.get("specimen_source")
    if list(notes.get("shape") or ()) != list(shape) or source not in _SOURCES:
        return None
    try:
        top, bottom, left, right = (int(n) for n in noted)  # type: ignore[union-attr]
        return Specimen(
            Area(top, bottom, left, right), source, str(notes.get("specimen_reason", ""))
        )
    except (TypeError, ValueError, GridError):
        return None
