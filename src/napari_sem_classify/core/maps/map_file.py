"""A class map as one TIFF: numbers and colours for any program, and the whole map for this one.

ImageJ and others see a label image, one pixel a cell, with its lookup table and scale. The JSON in
ImageJ's *Info* (Image > Show Info) tells what a map is besides its numbers: classes, grid, image,
model, record. The probabilities lie in a private TIFF tag that other programs pass over, as raw
deflated float32; a program that writes the file anew may drop them. Without them the map comes back
with its classes, and says that the confidence is not known. Where the numbers were changed since,
the numbers count.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Fields, Malformed, decoded_json, shown
from napari_sem_classify.core.common.errors import GridError, ImageError, OutputError
from napari_sem_classify.core.common.files import atomic_path, to_json
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import (
    MOST_CLASSES,
    PIXEL_SIZE_NM,
    class_dict,
    classes_from,
)
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage

FORMAT = "napari-sem-classify class map"
VERSION = 1
SUFFIX = ".map.tif"
OUTLINES_SUFFIX = ".outlines.tif"
# TIFF 6.0, page 8: tags from 32768 are private, those from 65000 free for use inside a file.
PROBABILITIES_TAG = 65200
MOST_PX = 2**31
MOST_LEVELS = 64
MOST_BYTES = 2**31  # ImageJ's files stay below 4 GB


@dataclass(frozen=True, slots=True)
class SavedMap:
    """The maps of one image as one file holds them.

    Attributes
    ----------
    maps : mapping of plane to ClassMap
        At least one, all of one grid and the same classes; ``()`` for a single image.
    stack : tuple of int
        Leading axes of the image, ``()`` for a single one.
    image_path : Path or None
        Where the image was.
    level : int
        Whose pixels the grid is in, of a multiscale image.
    shown : mapping
        How a viewer showed it (name, scale, translate, units, ...), plain values; may be empty.
    """

    maps: Mapping[tuple[int, ...], ClassMap]
    stack: tuple[int, ...] = ()
    image_path: Path | None = None
    level: int = 0
    shown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> ClassMap:
        """The map of the first plane, for what all have in common."""
        return next(iter(self.maps.values()))

    @classmethod
    def of(cls, class_map: ClassMap, image: SemImage | None = None) -> SavedMap:
        """One map, with what its image tells."""
        if image is None:
            return cls({class_map.plane: class_map})
        path = None if image.path is None else Path(image.path).absolute()
        return cls({class_map.plane: class_map}, image.leading_shape, path, image.level)


def write_map(saved: SavedMap, path: Path) -> None:
    """Write the class numbers as a TIFF that ImageJ opens in colour and to scale.

    One pixel a cell: 0 left out, 1 the first class; a page for each plane of a stack.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    from tifffile import imwrite

    first = saved.first
    labels: NDArray[Any] = np.stack([each.labels() for each in saved.maps.values()])
    metadata: dict[str, Any] = {"axes": "YX" if len(labels) == 1 else "ZYX"}
    if len(first.classes) <= 255:
        labels = labels.astype(np.uint8)
        metadata["LUTs"] = [lookup_table(first)]
        metadata["mode"] = "color"
        metadata["min"], metadata["max"] = 0.0, 255.0
    metadata["Info"] = to_json(describe(saved))
    resolution = None
    if first.pixel_size_nm is not None:
        per_um = 1000.0 / (first.pixel_size_nm * first.grid.stride)
        resolution = (per_um, per_um)
        metadata["unit"] = "um"
    packed = _packed(saved) if all(m.confidence_known for m in saved.maps.values()) else b""
    tags = []
    if 0 < len(packed) < MOST_BYTES:
        tags.append((PROBABILITIES_TAG, 7, len(packed), packed, True))
    with atomic_path(path) as temporary:
        try:
            imwrite(
                temporary,
                labels[0] if len(labels) == 1 else labels,
                imagej=True,
                metadata=metadata,
                resolution=resolution,
                resolutionunit="NONE",
                extratags=tags,
            )
        except ValueError as error:  # past 4 GB
            raise OutputError(f"{path}: the map is too large for one TIFF ({error}).") from error


def read_map(path: Path) -> SavedMap | None:
    """Read a class map back; None for any other TIFF and for what is no TIFF.

    Raises
    ------
    ImageError
        When the file is a class map and is damaged.
    """
    from napari_sem_classify.core.sem_io.memory_budget import check_decoded_size
    from napari_sem_classify.core.sem_io.tiff_decode import series_pixels
    from napari_sem_classify.core.sem_io.tiff_opening import opened_tiff

    try:
        with opened_tiff(path) as tiff:
            text = (tiff.imagej_metadata or {}).get("Info")
            if not isinstance(text, str) or FORMAT not in text:
                return None
            series = tiff.series[0]
            check_decoded_size(path, series.nbytes, path.stat().st_size)
            labels = series_pixels(path, tiff, series)
            tag = tiff.pages.first.tags.get(PROBABILITIES_TAG)
            packed = b"" if tag is None else bytes(tag.value)
    except Exception:  # a damaged image is the image reader's to tell
        return None
    try:
        info = decoded_json(text)
    except Malformed as error:
        raise ImageError(
            f"{path} is a class map whose description is damaged ({error}): write it again."
        ) from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        return None
    return restore(path, info, labels, lambda shape: _unpacked(packed, shape))


def describe(saved: SavedMap) -> dict[str, Any]:
    """What a map is besides its numbers and probabilities, as plain JSON values."""
    first = saved.first
    grid = first.grid
    return {
        "format": FORMAT,
        "version": VERSION,
        "image": first.image_name,
        "image_path": None if saved.image_path is None else str(saved.image_path),
        "classes": {
            str(number): class_dict(each) for number, each in enumerate(first.classes, start=1)
        },
        "cell_px": grid.stride,
        "tile_px": grid.tile,
        "area": grid.area.as_list(),
        "level": saved.level,
        "pixel_size_nm": first.pixel_size_nm,
        "stack": list(saved.stack),
        "planes": [list(plane) for plane in saved.maps],
        "shown": dict(saved.shown),
        "records": [dict(each.record) for each in saved.maps.values()],
    }


def restore(path: Path, info: Mapping[str, Any], labels: NDArray[Any], stored: Any) -> SavedMap:
    """A map from its description, as from `describe`, and its numbers; messages name `path`.

    Parameters
    ----------
    labels : integer, shape ([planes,] rows, cols)
    stored : callable
        Given the shape (planes, rows, cols, classes), the probabilities, or None.

    Raises
    ------
    ImageError
        When the description is damaged or of a newer version, or the map too large.
    """
    if info.get("version") != VERSION:
        raise ImageError(
            f"{path} is a class map of another version ({shown(info.get('version'))}): "
            "update the program."
        )
    from napari_sem_classify.core.sem_io.memory_budget import check_fits

    def fitting(shape: tuple[int, ...]) -> Any:
        # As stored, as numbers, and those that the class numbers alone would give.
        needed = 3 * 4 * math.prod(shape)
        check_fits(path, needed, "write it again with a larger stride or fewer classes")
        return stored(shape)

    try:
        return _saved_map(Fields.of(info), labels, fitting)
    except (Malformed, ValueError, GridError) as error:
        raise ImageError(
            f"{path} is a class map whose description is damaged ({error}): write it again."
        ) from error


def _saved_map(told: Fields, labels: NDArray[Any], stored: Any) -> SavedMap:
    tile, stride = told.whole("tile_px", 1, MOST_PX), told.whole("cell_px", 1, MOST_PX)
    grid = TileGrid(Area(*told.wholes("area", 0, MOST_PX, count=4)), tile, stride)
    named = told.object("classes")
    if len(named.value) > MOST_CLASSES:
        raise Malformed(f"it names {len(named.value)} classes, more than {MOST_CLASSES}")
    numbers = range(1, len(named.value) + 1)
    classes = classes_from((named.object(str(number)) for number in numbers), least=2)
    stack = told.wholes("stack", 1, MOST_PX)
    planes = [
        Fields({"plane": plane}).wholes("plane", 0, MOST_PX) for plane in told.items("planes")
    ]
    if not planes or not all(_lies_in(plane, stack) for plane in planes):
        raise Malformed("planes lie outside of the stack")
    if len(set(planes)) < len(planes):
        raise Malformed("a plane comes twice")
    records = [_record(each) for each in told.objects("records")]
    if len(records) != len(planes):
        raise Malformed(f"it has {len(records)} records of {len(planes)} planes")
    size = told.number("pixel_size_nm", *PIXEL_SIZE_NM) if told.has("pixel_size_nm") else None
    image_name = told.text("image")
    labels = labels.reshape(len(planes), *grid.shape)
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > len(classes):
        raise Malformed("it holds numbers without a class")
    known = stored((*labels.shape, len(classes)))
    maps = {}
    for number, plane in enumerate(planes):
        likelihoods = None if known is None else known[number]
        likely, record = settle(labels[number], likelihoods, len(classes), records[number])
        maps[plane] = ClassMap(likely, grid, classes, size, image_name, plane, record)
    return SavedMap(
        maps,
        stack,
        Path(told.path("image_path")) if told.has("image_path") else None,
        told.whole("level", 0, MOST_LEVELS) if told.has("level") else 0,
        told.plain("shown"),
    )


def _record(told: Fields) -> dict[str, Any]:
    """A map's record, with what is read of it again checked."""
    if told.has("painted_cells"):
        told.whole("painted_cells", 0, MOST_PX)
    if told.has("confidence_known"):
        told.flag("confidence_known")
    for name in ("model", "dense", "grid", "image", "engine", "tiles", "intensity", "outlines"):
        if told.has(name):
            told.object(name)
    return dict(told.value)


def settle(
    labels: NDArray[Any],
    probabilities: NDArray[np.float32] | None,
    n_classes: int,
    record: Mapping[str, Any],
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Probabilities that say what the numbers say, and a record that tells where they differed.

    Parameters
    ----------
    labels : integer, shape (rows, cols)
        0 left out, 1 the first class.
    probabilities : float32, shape (rows, cols, classes), or None
        None where only the numbers are known.

    Returns
    -------
    probabilities : float32, shape (rows, cols, classes)
        Cells whose number is another than the likeliest class have 1 for their class.
    record : dict
        With ``painted_cells`` where there were such cells, or ``confidence_known`` False.
    """
    each = np.eye(n_classes + 1, n_classes, k=-1, dtype=np.float32)
    each[0] = np.nan
    alone = each[labels]
    noted = dict(record)
    if probabilities is None:
        noted["confidence_known"] = False
        return alone, noted
    likeliest = np.nan_to_num(probabilities, nan=-1.0).argmax(axis=-1) + 1
    likeliest[np.isnan(probabilities[..., 0])] = 0
    painted = likeliest != labels
    if not painted.any():
        return probabilities, noted
    noted["painted_cells"] = int(painted.sum()) + int(noted.get("painted_cells", 0))
    return np.where(painted[..., None], alone, probabilities), noted


def _lies_in(plane: tuple[int, ...], stack: tuple[int, ...]) -> bool:
    # A map written without its image knows its plane and not how many there are.
    return not stack or (
        len(plane) == len(stack) and all(0 <= n < m for n, m in zip(plane, stack, strict=True))
    )


def _packed(saved: SavedMap) -> bytes:
    """Probabilities of all planes, little-endian float32 in C order, deflated."""
    packer = zlib.compressobj(6)
    parts = [
        packer.compress(np.ascontiguousarray(each.probabilities, dtype="<f4").data.cast("B"))
        for each in saved.maps.values()
    ]
    return b"".join([*parts, packer.flush()])


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    if not packed:
        return None
    wanted = 4 * int(np.prod(shape))
    try:
        # No more than is expected: a hostile file must not fill the memory.
        raw = zlib.decompressobj().decompress(packed, wanted + 1)
    except zlib.error as error:
        raise ValueError(f"probabilities: {error}") from error
    if len(raw) != wanted:
        raise ValueError("probabilities of another shape")
    return np.frombuffer(raw, dtype="<f4").reshape(shape).astype(np.float32)


def lookup_table(class_map: ClassMap) -> Any:
    """ImageJ's lookup table, uint8, shape (3, 256): black for 0, then the classes' colours."""
    table = np.zeros((3, 256), dtype=np.uint8)
    for number, info in enumerate(class_map.classes, start=1):
        table[:, number] = info.rgb
    return table
