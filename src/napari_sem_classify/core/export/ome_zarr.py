"""A class map as OME-Zarr 0.5: the specimen's picture and, under it, the classes as labels.

Layout and metadata after https://ngff.openmicroscopy.org/0.5/: an image group with ``multiscales``,
in it a group ``labels`` and in that ``classes`` with ``image-label`` (colours, names). Written with
zarr alone. World coordinates are micrometres where calibrated, else pixels of the image, with 0 at
the centre of the image's first pixel.

A group ``sem_classify`` beside the labels, which other programs pass over, keeps what brings the
whole map back: the description of `map_file.describe` and the probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.common.errors import OutputError, cannot_write
from napari_sem_classify.core.common.temporaries import temporary_folder
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap
from napari_sem_classify.core.maps.ome_zarr_map import CHUNK, write_ome_map

VERSION = "0.5"
PICTURE_PX = 4096


def write_ome_zarr(
    class_map: ClassMap, image: SemImage, path: Path, shown: Mapping[str, Any] | None = None
) -> None:
    """Write the specimen and its classes as one OME-Zarr image with labels.

    The picture is the classified area, averaged down to at most `PICTURE_PX` pixels a side; the
    labels have one element a cell: 0 left out, 1 the first class. Both say in their metadata where
    they lie, so that a reader lays one over the other.

    Parameters
    ----------
    class_map : ClassMap
    image : SemImage
        The image that was classified.
    path : Path
        Folder to write, usually ``STEM.ome.zarr``; an OME-Zarr that is there is replaced.
    shown : mapping, optional
        How a viewer showed the map, see `map_file.SavedMap`.

    Raises
    ------
    OutputError
        When it cannot be written, or something else has that name.
    ImageError
        When the image cannot be read.
    """
    import zarr

    from napari_sem_classify.core.export.overlay import overview

    grid = class_map.grid
    grey, step = overview(image, grid.area, class_map.plane, PICTURE_PX)
    labels = class_map.labels()
    if len(class_map.classes) <= 255:
        labels = labels.astype(np.uint8)
    name = class_map.image_name or image.name
    half = (step - 1) / 2.0
    place = (grid.area.top + half, grid.area.left + half)
    with _replaced_folder(path) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=3)
        _array(root, grey)
        root.attrs["ome"] = {
            "version": VERSION,
            "multiscales": [_multiscale(class_map, name, float(step), place)],
        }
        folder = root.create_group("labels")
        folder.attrs["ome"] = {"version": VERSION, "labels": ["classes"]}
        group = folder.create_group("classes")
        _array(group, labels)
        group.attrs["ome"] = {
            "version": VERSION,
            "multiscales": [_multiscale(class_map, "classes", float(grid.stride), grid.translate)],
            "image-label": _image_label(class_map),
        }
        write_ome_map(root, replace(SavedMap.of(class_map, image), shown=dict(shown or {})))


def _array(group: Any, pixels: Any) -> None:
    chunks = tuple(min(CHUNK, length) for length in pixels.shape)
    group.create_array("0", data=pixels, chunks=chunks, dimension_names=("y", "x"))


def _multiscale(
    class_map: ClassMap, name: str, step: float, place: tuple[float, float]
) -> dict[str, Any]:
    """Metadata of one level whose elements are `step` image pixels wide, the first at `place`."""
    size = class_map.pixel_size_nm
    unit = 1.0 if size is None else size / 1000.0
    told = {} if size is None else {"unit": "micrometer"}
    steps = [
        {"type": "scale", "scale": [step * unit, step * unit]},
        {"type": "translation", "translation": [place[0] * unit, place[1] * unit]},
    ]
    return {
        "name": name,
        "axes": [{"name": axis, "type": "space", **told} for axis in "yx"],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }


def _image_label(class_map: ClassMap) -> dict[str, Any]:
    numbered = list(enumerate(class_map.classes, start=1))
    return {
        "colors": [{"label-value": number, "rgba": [*info.rgb, 255]} for number, info in numbered],
        "properties": [{"label-value": number, "class": info.name} for number, info in numbered],
        "source": {"image": "../../"},
    }


@contextmanager
def _replaced_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; when the block ends well it takes the place of `path`."""
    path = Path(path)
    if path.exists() and not (path / "zarr.json").is_file() and not (path / ".zgroup").is_file():
        raise OutputError(f"{path} is there and is no OME-Zarr: choose another name.")
    with temporary_folder(path.parent) as temporary:
        new, old = temporary / "new", temporary / "old"
        try:
            yield new
            if path.exists():
                path.rename(old)
            new.rename(path)
        except OSError as error:
            if old.exists() and not path.exists():
                old.rename(path)
            raise OutputError(cannot_write(path, error)) from error
