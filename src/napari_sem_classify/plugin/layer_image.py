"""From a layer of the viewer to the image that core works on, and the notes that travel between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import GridError
from ..core.image import SemImage, Specimen
from ..core.sem_io import image_from_array
from ..core.tiles import Area

if TYPE_CHECKING:
    from napari.layers import Image

METADATA_KEY = "sem_classify"
# Scales and metadata that differ by less are the same pixel size.
SAME_PIXEL_SIZE = 0.001
SQUARE_TOLERANCE = 0.01
_SOURCES = ("metadata", "pixels", "none", "user")


def layer_metadata(image: SemImage) -> dict[str, Any]:
    """What is known about an image, under plain names, for a layer's metadata.

    Returns
    -------
    dict
        ``{"sem_classify": {...}}`` of numbers, texts and lists only, so that it can be saved.
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


def image_from_layer(layer: Image) -> SemImage:
    """The image that a layer shows, lazily; of a multiscale layer its finest level.

    The pixel size is the layer's scale where its units are lengths. The specimen area comes from
    the layer's metadata where it was noted for an image of this size, else from the pixels.

    Raises
    ------
    ImageError
        When the layer holds no picture or cannot be read.
    """
    notes = layer.metadata.get(METADATA_KEY)
    notes = notes if isinstance(notes, Mapping) else {}
    rgb = bool(getattr(layer, "rgb", False))
    data = layer.data[0] if layer.multiscale else layer.data
    spatial = data.shape[-3:-1] if rgb else data.shape[-2:]
    size = pixel_size_nm(layer)
    path = notes.get("path") or getattr(layer.source, "path", None)
    microscope = notes.get("microscope")
    return image_from_array(
        data,
        layer.name,
        rgb=rgb,
        pixel_size_nm=size,
        pixel_size_source=_size_source(size, notes),
        specimen=_specimen(notes, [int(n) for n in spatial]),
        vendor=str(notes.get("vendor") or ""),
        metadata=microscope if isinstance(microscope, Mapping) else {},
        path=Path(path) if path else None,
    )


def pixel_size_nm(layer: Image) -> float | None:
    """A layer's pixel size in nm; None where its units are no lengths or its pixels not square."""
    sides = []
    for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True):
        if unit.dimensionality != {"[length]": 1}:
            return None
        sides.append(abs(float(scale)) * float((1 * unit).to("nm").magnitude))
    rows, cols = sides
    square = abs(rows - cols) <= SQUARE_TOLERANCE * max(rows, cols)
    return cols if cols > 0 and square else None


def _size_source(size: float | None, notes: Mapping[str, Any]) -> str:
    noted = notes.get("pixel_size_nm")
    if size is None or not isinstance(noted, (int, float)):
        return "layer scale"
    same = abs(size - noted) <= SAME_PIXEL_SIZE * size
    return str(notes.get("pixel_size_source") or "layer scale") if same else "layer scale"


def _specimen(notes: Mapping[str, Any], shape: list[int]) -> Specimen | None:
    """The area noted for an image of this shape; None where the layer's data is another by now."""
    noted, source = notes.get("specimen"), notes.get("specimen_source")
    if list(notes.get("shape") or ()) != shape or source not in _SOURCES:
        return None
    try:
        top, bottom, left, right = (int(n) for n in noted)  # type: ignore[union-attr]
        return Specimen(
            Area(top, bottom, left, right), source, str(notes.get("specimen_reason", ""))
        )
    except (TypeError, ValueError, GridError):
        return None
