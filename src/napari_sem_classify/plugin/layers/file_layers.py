"""Image layers of files: calibrated in nm, info bar included, shown lazily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.sem_io import open_image, open_with_levels
from napari_sem_classify.plugin.layers.layer_image import layer_metadata

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage

    LayerData = tuple[Any, dict[str, Any], str]

# Larger pieces than most files store keep the viewer's own bookkeeping small.
DISPLAY_BLOCK_PX = 2048


def file_layer(path: Path) -> LayerData:
    """The image layer of one file, all its resolution levels."""
    image, levels = open_with_levels(path)
    coarser = [open_image(path, level).data for level in range(1, len(levels))]
    return image_layer(image, [image.data, *coarser])


def image_layer(image: SemImage, levels: Sequence[Any] = ()) -> LayerData:
    """A layer's data, keywords and type from an image, all of it shown, info bar included.

    `levels` are all resolutions of a multiscale image, finest first.
    """
    keywords: dict[str, Any] = {"name": image.name, "metadata": layer_metadata(image)}
    if image.colour == "colour":
        keywords["rgb"] = True
    if image.pixel_size_nm is not None:
        keywords["scale"], keywords["units"] = placed(image, image.pixel_size_nm)
    if len(levels) > 1:
        keywords["multiscale"] = True
        return [viewable(one, image) for one in levels], keywords, "image"
    return viewable(image.data, image), keywords, "image"


def placed(image: SemImage, size_nm: float) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Scale and units of a calibrated image's layer; planes of a stack are as far apart as said."""
    leading = len(image.leading_shape)
    apart = image.metadata.get("plane_spacing_nm")
    if leading == 1 and isinstance(apart, float) and apart > 0:
        return (apart, size_nm, size_nm), ("nm", "nm", "nm")
    return (1.0,) * leading + (size_nm,) * 2, ("pixel",) * leading + ("nm", "nm")


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
    return da.from_array(  # type: ignore[no-untyped-call]
        data, chunks=chunks, name=False, asarray=False
    )
