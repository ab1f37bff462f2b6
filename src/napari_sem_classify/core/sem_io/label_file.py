"""Label images from files: the number in each pixel, or the colour that stands for a class."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import AnnotationError, ImageError, SemClassifyError
from napari_sem_classify.core.sem_io.memory_budget import check_fits
from napari_sem_classify.core.sem_io.opening import open_image, open_numbers
from napari_sem_classify.core.sem_io.pixels import Pixels, guarded

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage

# In labels read by colour: a pixel of a colour that was not asked for.
NO_COLOUR = -1
COLOURS_TOLD = 6


def read_labels(path: Path | str, colours: Collection[int] | None = None) -> NDArray[Any]:
    """Read a label image in any format and compression that images are read in.

    Palette images give their indices, not their colours; grey written as RGB gives the grey value.
    As for images, an orientation that the file asks for is not applied.

    Parameters
    ----------
    colours : collection of int, optional
        Read colours instead of numbers: red · 65536 + green · 256 + blue of each colour that
        stands for a class, as `parse_classes` gives them for ``"#ff0000=oxide"``.

    Returns
    -------
    ndarray of bool or integers, shape (rows, cols)
        With `colours` int64: those colours, and `NO_COLOUR` for any other.

    Raises
    ------
    AnnotationError
        When the file is missing, no image, damaged, not of integers, in colour and no colours are
        given, or holds none of the given colours.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise AnnotationError(f"The labels {path} do not exist: check the name and the folder.")
    try:
        pixels = open_numbers(path)
        n = math.prod(int(length) for length in pixels.data.shape)
        needed = n * (2 * np.dtype(pixels.data.dtype).itemsize + (0 if colours is None else 24))
        check_fits(path, needed, "cut it and its image into parts")
        stored = guarded(path, lambda: np.asarray(pixels.data[...]))
    except ImageError as error:
        raise AnnotationError(f"The labels cannot be read: {error}") from error
    channels = pixels.has_channels
    axes = 3 if channels else 2
    stored = stored.reshape([n for n in stored.shape[:-axes] if n > 1] + list(stored.shape[-axes:]))
    if stored.ndim != axes:
        raise AnnotationError(f"The labels {path} are no single plane: give one plane per file.")
    if colours is not None:
        return _by_colour(path, _rgb(path, stored, pixels), colours)
    labels = _grey(path, stored) if channels else stored
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "bui":
        raise AnnotationError(f"The labels {path} are not whole numbers: give a number per class.")
    return labels


def labels_of(
    shape: tuple[int, int], path: Path | str, colours: Collection[int] | None = None
) -> NDArray[Any]:
    """Labels of a file, of the size of their image; errors as `read_labels` and `fit_labels`."""
    return fit_labels(read_labels(path, colours), shape, path)


def labelled_images(
    images: Sequence[Path], labels: Sequence[Path], colours: Collection[int] | None = None
) -> tuple[dict[int, tuple[SemImage, NDArray[Any]]], dict[str, str]]:
    """Open images with their labels; those that cannot be read are left out, each with its reason.

    Returns
    -------
    pairs : dict of int to (SemImage, ndarray)
        By their number in `images`; at least one.
    left_out : dict of str to str
        File and the sentence that says why.

    Raises
    ------
    ImageError or AnnotationError
        When none of them can be read: what is wrong with the first.
    """
    pairs: dict[int, tuple[SemImage, NDArray[Any]]] = {}
    left_out: dict[str, str] = {}
    problem: SemClassifyError | None = None
    for number, (path, label) in enumerate(zip(images, labels, strict=True)):
        try:
            image = open_image(path)
            pairs[number] = image, labels_of(image.shape, label, colours)
        except SemClassifyError as error:
            problem = problem or error
            left_out[str(path)] = str(error)
    if problem is not None and not pairs:
        raise problem
    return pairs, left_out


def fit_labels(labels: NDArray[Any], shape: tuple[int, int], name: object) -> NDArray[Any]:
    """Labels of an image's own size, from labels that are larger or smaller by a whole factor.

    Smaller ones are repeated; of larger ones the pixel nearest to each middle is taken. Labels of
    any other size come back as they are: they may reach beyond the image, or cover its specimen.

    Raises
    ------
    AnnotationError
        When they have the image's size with rows and columns swapped.
    """
    rows, cols = labels.shape
    if (rows, cols) == shape or 0 in (rows, cols):
        return labels
    for factor in {shape[0] // rows, shape[1] // cols} - {0, 1}:
        if shape == (rows * factor, cols * factor):
            return np.repeat(np.repeat(labels, factor, axis=0), factor, axis=1)
    for factor in {rows // shape[0], cols // shape[1]} - {0, 1}:
        if (rows, cols) == (shape[0] * factor, shape[1] * factor):
            return labels[factor // 2 :: factor, factor // 2 :: factor]
    if (cols, rows) == shape:
        raise AnnotationError(
            f"The labels {name} have {rows} × {cols} px and their image {shape[0]} × {shape[1]}: "
            "one of them was turned; save both the same way round."
        )
    return labels


def _grey(path: Path, stored: NDArray[Any]) -> NDArray[Any]:
    grey: NDArray[Any] = stored[..., 0]
    if stored.shape[-1] > 2 and any(
        not np.array_equal(grey, stored[..., other]) for other in (1, 2)
    ):
        found = ", ".join(_commonest(_packed(stored)))
        raise AnnotationError(
            f"The labels {path} are in colour: save them as numbers, a grey value per class, or "
            f'name the colours, "#ff0000=oxide,#00ff00=matrix" (found: {found}).'
        )
    return grey


def _rgb(path: Path, stored: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    if pixels.palette is not None and not pixels.has_channels and stored.dtype.kind == "u":
        table = np.zeros((int(stored.max(initial=0)) + 1, 3), np.uint8)
        n = min(len(table), len(pixels.palette))
        table[:n] = pixels.palette[:n]
        return np.asarray(table[stored])
    if not pixels.has_channels or stored.shape[-1] < 3:
        grey = stored[..., 0] if pixels.has_channels else stored
        stored = np.repeat(grey[..., None], 3, axis=-1)
    if stored.dtype == bool:
        stored = stored.astype(np.uint8) * 255
    if stored.dtype != np.uint8:
        if stored.dtype.kind not in "ui" or stored.min(initial=0) < 0:
            raise AnnotationError(f"The labels {path} hold {stored.dtype} values, no colours.")
        wide = int(stored.max(initial=0)) > 255
        stored = (stored >> (8 if wide else 0)).astype(np.uint8)
    return stored


def _packed(rgb: NDArray[Any]) -> NDArray[np.int64]:
    red, green, blue = (rgb[..., index].astype(np.int64) for index in range(3))
    return np.asarray((red << 16) | (green << 8) | blue)


def _by_colour(path: Path, rgb: NDArray[Any], colours: Collection[int]) -> NDArray[np.int64]:
    packed = _packed(rgb)
    wanted = np.isin(packed, np.array(sorted(colours), dtype=np.int64))
    if not wanted.any():
        raise AnnotationError(
            f"The labels {path} hold none of the colours that stand for classes; they hold "
            f"{', '.join(_commonest(packed))}."
        )
    return np.where(wanted, packed, NO_COLOUR)


def _commonest(packed: NDArray[np.int64]) -> list[str]:
    values, counts = np.unique(packed, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:COLOURS_TOLD]
    more = ["…"] if len(values) > COLOURS_TOLD else []
    return [f"#{int(values[index]):06x}" for index in order] + more
