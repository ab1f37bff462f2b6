"""Saved class maps found on the disk, each with its image where that is found too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import OUTLINES_SUFFIX, SUFFIX, SavedMap, read_map
from napari_sem_classify.core.maps.ome_zarr_map import read_ome_map

ZARR_SUFFIX = ".map.ome.zarr"


@dataclass(frozen=True, slots=True)
class MapOnDisk:
    """One class map of a file.

    Attributes
    ----------
    stem : str
        Start of the names of files made of it.
    saved : SavedMap
        This map alone, with what its file tells besides.
    image : SemImage or None
        With the map's area and pixel size; None where it was not found or is another one.
    """

    path: Path
    stem: str
    class_map: ClassMap
    saved: SavedMap
    image: SemImage | None


def find_maps(inputs: Iterable[str | Path]) -> list[Path]:
    """Class maps named by files, by folders that hold some, and by patterns; outlines by files.

    Raises
    ------
    ImageError
        For a name that is not there, or without any map.
    """
    from napari_sem_classify.core.sem_io import list_images

    inputs = list(inputs)
    found = list_images(inputs)
    named = {str(each) for each in inputs}
    # Outlines are another look at a map that lies beside them: they count where they are named.
    maps = [
        path
        for path in found
        if path.name.endswith((SUFFIX, ZARR_SUFFIX))
        or (path.name.endswith(OUTLINES_SUFFIX) and str(path) in named)
    ]
    if not maps:
        raise ImageError(
            f"{found[0]} is no class map: give files that end in {SUFFIX}, which classify writes, "
            "or a folder of them."
        )
    return maps


def open_maps(path: Path) -> list[MapOnDisk]:
    """Open the maps of a file, a map for each plane that it holds.

    Raises
    ------
    ImageError
        When it is no class map or a damaged one.
    """
    saved = read_ome_map(path) if path.is_dir() else read_map(path)
    if saved is None:
        raise ImageError(f"{path} is no class map of this program, or it is damaged.")
    image = _image_of(path, saved)
    stem = path.name.removesuffix(SUFFIX).removesuffix(ZARR_SUFFIX)
    if stem.endswith(OUTLINES_SUFFIX):  # a map of its own, beside that of the tiles
        stem = path.stem
    # A file of one plane has its index in the name already; files made of it get it again.
    if len(saved.maps) == 1:
        stem = stem.removesuffix(plane_suffix(saved.first.plane))
    return [
        MapOnDisk(path, stem, each, replace(saved, maps={plane: each}), image)
        for plane, each in saved.maps.items()
    ]


def _image_of(path: Path, saved: SavedMap) -> SemImage | None:
    """The image that a map was made of: where it was, else beside the map."""
    from napari_sem_classify.core.sem_io import open_image
    from napari_sem_classify.core.sem_io.listing import IMAGE_SUFFIXES

    beside = path.absolute().parent
    if saved.image_path is not None:
        places = [saved.image_path, beside / saved.image_path.name]
    else:  # the image was in memory; it may have been written since
        places = [beside / f"{saved.first.image_name}{suffix}" for suffix in IMAGE_SUFFIXES]
    for place in places:
        if not place.exists():
            continue
        try:
            image = open_image(place, saved.level)
        except ImageError:
            continue
        grid, size = saved.first.grid, saved.first.pixel_size_nm
        rows, cols = image.shape
        same_stack = not saved.stack or image.leading_shape == saved.stack
        if grid.area.bottom > rows or grid.area.right > cols or not same_stack:
            continue
        if image.area != grid.area:
            image = image.with_area(grid.area, "as in the map")
        if size is not None and size != image.pixel_size_nm:
            image = image.with_pixel_size(size, "as in the map")
        return image
    return None
