"""SEM files opened by dropping them on the viewer: calibrated in nm, the info bar visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io import list_images, open_series
from napari_sem_classify.core.sem_io.listing import is_image_name
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.files.map_reader import read_class_maps
from napari_sem_classify.plugin.layers.file_layers import file_layer, image_layer

if TYPE_CHECKING:
    from napari_sem_classify.plugin.layers.file_layers import LayerData

    Reader = Callable[[str | Path | Sequence[str | Path]], list[LayerData]]

# Sidecars of microscopes, notes and what file managers leave; "" is LICENSE, README and the like.
BESIDE_IMAGES = ("", ".txt", ".hdr", ".xml", ".json", ".csv", ".ini", ".md", ".log", ".db", ".pdf")
# Images of a folder that are no series become a layer each, up to this many.
MOST_LAYERS = 20


def get_reader(path: str | Path | Sequence[str | Path]) -> Reader | None:
    """Say whether a file, a folder or a list of files can be read; the reader, or None."""
    paths = _as_paths(path)
    ours = paths and all(is_image_name(one) or _is_image_folder(one) for one in paths)
    return read_images if ours else None


def read_images(path: str | Path | Sequence[str | Path]) -> list[LayerData]:
    """Read files into image layers: one each, a folder of equal images as one stack.

    Class maps that were saved come back over their images, see `map_reader`.

    Calibrated images get a scale in nanometres with units; others have neither. What is known goes
    into ``metadata["sem_classify"]`` under plain names. Raises `ImageError` when a file cannot be
    opened.
    """
    paths = _as_paths(path)
    maps = read_class_maps(paths)
    if maps is not None:
        return maps
    if len(paths) > 1:
        return [_series_layer(paths)]
    (only,) = paths
    if is_image_name(only):
        return [file_layer(only)]
    try:
        return [_series_layer(only)]
    except ImageError:
        files = list_images([only])
        if len(files) > MOST_LAYERS:
            raise
        # Images of several sizes or scales: each stands for itself.
        return [file_layer(one) for one in files]


def _series_layer(source: Path | Sequence[Path]) -> LayerData:
    """A series as a layer; files that cannot be read are named one by one."""
    series = open_series(source)
    left_out = series.metadata.get("series_left_out", {})
    if left_out:
        from napari.utils.notifications import show_warning

        show_warning(as_it_is("\n".join(["Left out of the series:", *left_out.values()])))
    return image_layer(series)


def _as_paths(path: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(path, (str, Path)):
        return [Path(path)]
    return [Path(one) for one in path]


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
