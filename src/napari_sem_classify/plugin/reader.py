"""SEM files opened by dropping them on the viewer: calibrated in nm, the info bar visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.errors import ImageError
from napari_sem_classify.core.sem_io import image_levels, list_images, open_image, open_series
from napari_sem_classify.core.sem_io.listing import is_image_name
from napari_sem_classify.plugin.layer_image import layer_metadata

if TYPE_CHECKING:
    from napari_sem_classify.core.image import SemImage

    LayerData = tuple[Any, dict[str, Any], str]
    Reader = Callable[[str | Path | Sequence[str | Path]], list[LayerData]]

# Larger pieces than most files store keep the viewer's own bookkeeping small.
DISPLAY_BLOCK_PX = 2048
# Sidecars of microscopes, notes and what file managers leave; "" is LICENSE, README and the like.
BESIDE_IMAGES = ("", ".txt", ".hdr", ".xml", ".json", ".csv", ".ini", ".md", ".log", ".db", ".pdf")
# Images of a folder that are no series become a layer each, up to this many.
MOST_LAYERS = 20


def get_reader(path: str | Path | Sequence[str | Path]) -> Reader | None:
    """Say whether a file, a folder or a list of files can be read; the reader, or None."""
    paths = _as_paths(path)
    if not paths:
        return None
    if all(is_image_name(one) or _is_image_folder(one) for one in paths):
        return read_images
    return None


def read_images(path: str | Path | Sequence[str | Path]) -> list[LayerData]:
    """Read files into image layers: one each, a folder of equal images as one stack.

    Class maps that were saved come back over their images, see `map_reader`.

    Calibrated images get a scale in nanometres with units; others have neither. What is known goes
    into ``metadata["sem_classify"]`` under plain names.

    Raises
    ------
    ImageError
        When a file cannot be opened.
    """
    from napari_sem_classify.plugin.map_reader import read_class_maps

    paths = _as_paths(path)
    maps = read_class_maps(paths)
    if maps is not None:
        return maps
    if len(paths) > 1:
        return [image_layer(open_series(paths))]
    (only,) = paths
    if is_image_name(only):
        return [file_layer(only)]
    try:
        return [image_layer(open_series(only))]
    except ImageError:
        files = list_images([only])
        if len(files) > MOST_LAYERS:
            raise
        # Images of several sizes or scales: each stands for itself.
        return [file_layer(one) for one in files]


def image_layer(image: SemImage, levels: Sequence[Any] = ()) -> LayerData:
    """A layer's data, keywords and type from an image, all of it shown, info bar included.

    Parameters
    ----------
    image : SemImage
    levels : sequence of array-like
        All resolutions of a multiscale image, finest first; the image's own data when left out.
    """
    keywords: dict[str, Any] = {"name": image.name, "metadata": layer_metadata(image)}
    if image.colour == "colour":
        keywords["rgb"] = True
    if image.pixel_size_nm is not None:
        leading = len(image.leading_shape)
        keywords["scale"] = (1.0,) * leading + (image.pixel_size_nm,) * 2
        keywords["units"] = ("pixel",) * leading + ("nm", "nm")
    if len(levels) > 1:
        keywords["multiscale"] = True
        return [viewable(one, image) for one in levels], keywords, "image"
    return viewable(image.data, image), keywords, "image"


def viewable(data: Any, image: SemImage) -> Any:
    """An array that the viewer can slice: numpy as it is, anything lazy through dask."""
    import numpy as np

    if isinstance(data, np.ndarray):
        return data
    import dask.array as da

    if isinstance(data, da.Array):
        return data
    trailing = data.shape[-1:] if image.colour == "colour" else ()
    n_leading = data.ndim - 2 - len(trailing)
    block = image.chunks or (DISPLAY_BLOCK_PX, DISPLAY_BLOCK_PX)
    spatial = data.shape[n_leading : n_leading + 2]
    chunks = (
        *(1,) * n_leading,
        *(
            min(int(length), max(1, DISPLAY_BLOCK_PX // side) * side)
            for length, side in zip(spatial, block, strict=True)
        ),
        *trailing,
    )
    return da.from_array(data, chunks=chunks, name=False, asarray=False)


def _as_paths(path: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(path, (str, Path)):
        return [Path(path)]
    return [Path(one) for one in path]


def file_layer(path: Path) -> LayerData:
    """The image layer of one file, all its resolution levels."""
    image = open_image(path)
    coarser = [open_image(path, level).data for level in range(1, len(image_levels(path)))]
    return image_layer(image, [image.data, *coarser])


def _is_image_folder(path: Path) -> bool:
    """Whether a folder holds images and nothing else but what microscopes write beside them.

    Any other folder is left to other readers: nobody meant its images to be one series.
    """
    if not path.is_dir():
        return False
    try:
        visible = [one for one in path.iterdir() if not one.name.startswith(".")]
    except OSError:
        return False
    images = [one for one in visible if is_image_name(one)]
    rest = set(visible).difference(images)
    return bool(images) and all(
        one.is_file() and one.suffix.lower() in BESIDE_IMAGES for one in rest
    )
