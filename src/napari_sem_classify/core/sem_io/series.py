"""Images of one field, shape and scale, opened as one stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import ArrayLike, SemImage
from napari_sem_classify.core.sem_io.arrays import Stacked
from napari_sem_classify.core.sem_io.listing import list_images
from napari_sem_classify.core.sem_io.opening import open_image

SAME_PIXEL_SIZE = 0.01


def open_series(source: str | Path | Sequence[str | Path]) -> SemImage:
    """Open a folder's images, or a list of files, as one calibrated stack (N, Y, X), read lazily.

    Every image must have the first one's shape and pixel size (to 1 %); the specimen area and what
    else is known come from the first. A folder's files are in natural order; their names are in
    ``metadata["series_files"]``. Files that cannot be read are left out; each is named with its
    reason in ``metadata["series_left_out"]``.

    Raises
    ------
    ImageError
        When the folder holds no image that can be read, or one of them differs from the first.
    """
    if isinstance(source, (str, Path)):
        folder = Path(source).expanduser()
        if not folder.is_dir():
            raise ImageError(f"{folder} is not a folder: choose the folder with the images.")
        paths = list_images([folder])
    else:
        paths = list_images(source)
        folder = paths[0].parent
    first, left_out = _compared(paths)
    kept = [path for path in paths if str(path) not in left_out]
    data = Stacked([partial(_plane, path) for path in kept], (len(kept),), first.shape, first.dtype)
    return replace(
        first,
        name=folder.name,
        data=data,
        path=folder,
        colour="grey",
        chunks=first.chunks,
        metadata={**first.metadata, "series_files": [path.name for path in kept]}
        | ({"series_left_out": left_out} if left_out else {}),
    )


def _compared(paths: list[Path]) -> tuple[SemImage, dict[str, str]]:
    """The first image that can be read, which the others are like; those that cannot, and why."""
    first: SemImage | None = None
    left_out: dict[str, str] = {}
    for path in paths:
        try:
            image = open_image(path)
        except ImageError as error:
            problem = error
            left_out[str(path)] = str(error)
            continue
        if first is None:
            first = image
            if first.leading_shape:
                raise ImageError(
                    f"{path} is itself a stack of {first.leading_shape} planes: open it as one "
                    "image."
                )
        else:
            _check_same(first, image)
    if first is None:
        raise problem
    return first, left_out


def _check_same(first: SemImage, other: SemImage) -> None:
    if other.shape != first.shape or other.leading_shape:
        raise ImageError(
            f"{other.path} has {_px(other)} and {first.path} has {_px(first)}: a series needs "
            "images of one size."
        )
    one, two = first.pixel_size_nm, other.pixel_size_nm
    if (one is None) != (two is None):
        raise ImageError(
            f"{other.path} and {first.path} are not both calibrated: a series needs one pixel size."
        )
    if one is not None and two is not None and abs(one - two) > SAME_PIXEL_SIZE * one:
        raise ImageError(
            f"{other.path} has {two:.4g} nm/px and {first.path} {one:.4g} nm/px: a series needs "
            "one pixel size."
        )


def _plane(path: Path) -> ArrayLike:
    image = open_image(path)
    if image.colour == "grey":
        return image.data
    rows, cols = image.shape
    return image.read(Area(0, rows, 0, cols))


def _px(image: SemImage) -> str:
    stack = "".join(f"{n} × " for n in image.leading_shape)
    return f"{stack}{image.shape[0]} × {image.shape[1]} px"
