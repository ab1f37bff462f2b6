"""The one place that stretches intensities.

The range is found once per image on its specimen area, recorded with the model as a recipe, and
applied alike when a model learns and when it is used. Each tile is standardised on its own only
where a recipe says so: it helps where texture tells the classes, and is harmful where brightness
does (docs/teaching.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Fields, Malformed, shown
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.sem_image import SemImage

SAMPLE_BLOCKS = 64
SAMPLE_BLOCK_PX = 256
ZERO_RUN_PX = 16
LARGEST_VALUE = float(np.finfo(np.float64).max)
LEAST_STEPS = 256

TILE_SPREAD = 0.22
"""Standard deviation that a tile gets, of 1 from black to white: about that of photographs."""

TILE_SPREAD_FLOOR = 0.02
"""A tile of less spread is taken for noise and not blown up further than this one would be."""


EVENED = "evened_over"
"""Under this name the metadata of an image tell how it was evened out, see `image.evened`."""

Over = Literal["image", "frames", "local"]
OVER: tuple[Over, ...] = ("image", "frames", "local")
FRAME_PX = (16, 1 << 20)


@dataclass(frozen=True, slots=True)
class IntensityRecipe:
    """How grey values become network input.

    Attributes
    ----------
    low_percentile, high_percentile : float
        Percentiles of the specimen area (0 to 100) that become black and white.
    per_tile : bool
        Whether each tile is then given the same mean and spread.
    over : {"image", "frames", "local"}
        Over what the range is taken: the whole image, each frame of a mosaic, or what is around.
    frame_px : (int, int) or None
        Rows and columns of a frame; None where they are found in the picture.
    """

    low_percentile: float = 1.0
    high_percentile: float = 99.0
    per_tile: bool = False
    over: Over = "image"
    frame_px: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a card; what earlier versions do not know only where it matters."""
        told = asdict(self)
        if self.over == "image":
            del told["over"]
        if self.frame_px is None:
            del told["frame_px"]
        return told

    @classmethod
    def from_fields(cls, told: Fields) -> IntensityRecipe:
        """Read what `asdict` gave; what an older file does not name is as usual.

        Raises
        ------
        Malformed
            When it is something else.
        """
        usual = asdict(cls())
        for name in told.value.keys() - usual.keys():
            raise Malformed(f"{told.place}{shown(name)} is not known to this program")
        read: dict[str, Any] = {}
        for name in told.value:
            if name == "over":
                read[name] = told.one_of(name, OVER)
            elif name == "frame_px":
                read[name] = told.wholes(name, *FRAME_PX, count=2) if told.has(name) else None
            elif isinstance(usual[name], bool):
                read[name] = told.flag(name)
            else:
                read[name] = told.number(name, 0, 100)
        recipe = cls(**read)
        if not recipe.low_percentile < recipe.high_percentile:
            raise Malformed(f"{told.place}low_percentile is not below high_percentile")
        return recipe


def recorded_recipe(told: Any) -> IntensityRecipe:
    """What evened out an image in parts, as the record of a run tells it under "intensity".

    Raises
    ------
    Malformed
        When it is something else.
    """
    known = told if isinstance(told, Mapping) else {}
    parts = {name: known[name] for name in ("over", "frame_px") if name in known}
    return IntensityRecipe.from_fields(Fields(parts, "intensity."))


@dataclass(frozen=True, slots=True)
class IntensityRange:
    """Grey values of one image that become 0 and 1 in the network's input.

    Values outside are clipped. ``low < high`` always; a constant image gets a range one unit wide.
    With `per_tile` each tile is then brought to the mean 0.5 and the spread `TILE_SPREAD`.
    """

    low: float
    high: float
    per_tile: bool = False


def measure_range(
    image: SemImage, recipe: IntensityRecipe, plane: tuple[int, ...] = ()
) -> IntensityRange:
    """Robust range of an image from a bounded sample of its specimen area.

    At most `SAMPLE_BLOCKS` blocks of `SAMPLE_BLOCK_PX` squared, spread evenly, are read, so the
    cost does not grow with the image. The same image gives the same range each time. NaN and inf,
    and runs of exact zeros (the borders of a mosaic, not a dark pixel here and there), do not
    count. A tile that was cut to a file has the range of its image.

    Raises
    ------
    ImageError
        When no finite value is found, or whole numbers are so large that they look alike.
    """
    source = image.source_range
    if source is not None:
        return IntensityRange(*source, recipe.per_tile)
    if recipe.over != "image":
        raise ValueError("an image that is evened out in parts has no one range: see `evened`")
    values = _sample(image, plane)
    found = range_of(values, recipe)
    if found is None:
        raise ImageError(f"{image.name} holds no finite values: there is nothing to classify.")
    if values.dtype.kind in "ui" and values.dtype.itemsize == 8:
        lowest, highest = int(values.min()), int(values.max())
        step = np.spacing(float(max(-lowest, highest)))
        if step > 1 and lowest != highest and found.high - found.low < LEAST_STEPS * step:
            raise ImageError(
                f"{image.name} holds whole numbers up to {highest:.3g} whose differences are too "
                "small to be told apart: subtract the lowest from all, and save it as 16 bit."
            )
    return found


def range_of(values: NDArray[Any], recipe: IntensityRecipe) -> IntensityRange | None:
    """Robust range of grey values, as `measure_range` finds it; None where none is finite."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return None
    finite = _without_zero_runs(finite)
    wanted = [recipe.low_percentile, recipe.high_percentile]
    if finite.dtype in (np.uint8, np.uint16):
        counts = np.bincount(finite)
        low, high = (_counted_percentile(counts, each) for each in wanted)
    else:
        finite = finite.astype(np.float64)
        # In quarters where the difference of two values may be more than a float64 can be.
        unit = 4.0 if max(-finite.min(), finite.max()) > LARGEST_VALUE / 4 else 1.0
        low, high = unit * np.percentile(finite / unit, wanted)
    if not high > low:
        # A constant image: centre it, so that noise of one grey level is not blown up.
        low = float(low)
        half = max(0.5, abs(low) * 2.0**-50)
        low, high = max(low - half, -LARGEST_VALUE), min(low + half, LARGEST_VALUE)
    return IntensityRange(float(low), float(high), recipe.per_tile)


def to_batch_dtype(
    pixels: NDArray[Any], intensity: IntensityRange
) -> tuple[NDArray[Any], IntensityRange]:
    """Pixels as uint8 or uint16, the only types that travel to the device, and their range there.

    uint8 and uint16 travel as they are. Every other type (int32, float, bool) is quantised over the
    intensity range into uint16, which keeps 65,536 steps inside the range the network can see;
    NaN becomes the low end.

    Returns
    -------
    pixels : ndarray of uint8 or uint16, same shape
    intensity : IntensityRange
        The range in units of the returned pixels.
    """
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels, intensity
    steps = np.rint(_scaled(pixels.astype(np.float64), intensity) * 65535.0)
    return steps.astype(np.uint16), replace(intensity, low=0.0, high=65535.0)


def stretch_to_uint8(pixels: NDArray[Any], intensity: IntensityRange) -> NDArray[np.uint8]:
    """Pixels as 8-bit grey over the range, for pictures and saved tiles; NaN becomes 0.

    Raises
    ------
    ValueError
        Where each tile is to be evened out on its own, which only the engine does.
    """
    if intensity.per_tile:
        raise ValueError("tiles that are evened out one by one cannot be stretched together")
    # Wide types may hold a small range on a large offset, which float32 would round away.
    exact: Any = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    return np.rint(_scaled(pixels.astype(exact), intensity) * 255.0).astype(np.uint8)


def no_data_mask(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a pixel holds no data: NaN, inf, or the exact zero of a mosaic's border.

    A single zero may be a dark pixel: only a tile of nothing else is to be left out.
    """
    nothing = pixels == 0
    return np.asarray(nothing | ~np.isfinite(pixels) if pixels.dtype.kind == "f" else nothing)


def _scaled(pixels: NDArray[Any], intensity: IntensityRange) -> NDArray[Any]:
    """Floats over the range, 0 to 1; NaN becomes 0."""
    low, high = intensity.low, intensity.high
    # Values far outside the range come out as inf, which is clipped; so may the range itself.
    with np.errstate(over="ignore", invalid="ignore"):
        if high - low <= LARGEST_VALUE:
            scaled = (pixels - low) / (high - low)
        else:
            scaled = (pixels / 2 - low / 2) / (high / 2 - low / 2)
    return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)


def _counted_percentile(counts: NDArray[np.int64], percentile: float) -> float:
    """What `numpy.percentile` gives, to the last bit and sooner, of how often 0, 1, 2 ... come."""
    upto = np.cumsum(counts)
    place = float(upto[-1] - 1) * (percentile / 100)
    first = int(place)
    below, above = np.searchsorted(upto, [first, min(first + 1, upto[-1] - 1)], side="right")
    share, step = place - first, float(above) - float(below)
    return float(above - step * (1 - share)) if share >= 0.5 else float(below + step * share)


def _without_zero_runs(values: NDArray[Any]) -> NDArray[Any]:
    length = values.size - values.size % ZERO_RUN_PX
    runs = values[:length].reshape(-1, ZERO_RUN_PX)
    kept = runs[runs.any(axis=1)].ravel()
    return np.concatenate([kept, values[length:]]) if kept.size else values


def _sample(image: SemImage, plane: tuple[int, ...]) -> NDArray[Any]:
    area = image.area
    if area.height * area.width <= SAMPLE_BLOCKS * SAMPLE_BLOCK_PX**2:
        return image.read(area, plane).ravel()
    blocks = area.spread(int(np.sqrt(SAMPLE_BLOCKS)), SAMPLE_BLOCK_PX)
    return np.concatenate([image.read(block, plane).ravel() for block in blocks])
