"""A class map as files: a table per cell, a summary, a label image, and a picture with a legend."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .class_map import ClassMap
from .files import atomic_path, ensure_folder, write_json, write_text
from .image import SemImage

COLUMNS = ("row", "col", "y", "x", "height", "width", "class", "confidence", "entropy")


def write_outputs(class_map: ClassMap, image: SemImage, out_dir: Path, stem: str) -> list[Path]:
    """Write the table, the summary, the label image and the picture of one class map.

    For a plane of a stack the plane's index goes into the names: ``STEM_z0003.tiles.csv``.

    Parameters
    ----------
    class_map : ClassMap
    image : SemImage
        The image that was classified.
    out_dir : Path
        Made when it is not there.
    stem : str
        Start of each file's name, usually the image's.

    Returns
    -------
    list of Path
        ``STEM.tiles.csv``, ``STEM.summary.json``, ``STEM.map.tif``, ``STEM.overlay.png``.

    Raises
    ------
    OutputError
        When the folder or a file cannot be written.
    ImageError
        When the image cannot be read for the picture.
    """
    from .overlay import write_overlay

    ensure_folder(out_dir)
    stem = stem + plane_suffix(class_map.plane)
    table = out_dir / f"{stem}.tiles.csv"
    summary = out_dir / f"{stem}.summary.json"
    labels = out_dir / f"{stem}.map.tif"
    overlay = out_dir / f"{stem}.overlay.png"
    write_text(table, tiles_csv(class_map))
    write_json(summary, summarise(class_map, image))
    write_label_image(class_map, labels)
    write_overlay(class_map, image, overlay)
    return [table, summary, labels, overlay]


def plane_suffix(plane: tuple[int, ...]) -> str:
    """What a plane of a stack adds to a file's name: "" for a single image."""
    return "".join(f"_z{index:04d}" for index in plane)


def tiles_csv(class_map: ClassMap) -> str:
    """The table as text, a row per cell, row by row.

    ``y`` and ``x`` are the cell's first row and column in pixels of the file as it lies on disk
    (info bar included), ``height`` and ``width`` its size, smaller at the border. A cell left out
    has no class and no values.
    """
    grid = class_map.grid
    rows, cols = grid.shape
    heights, widths = grid.cell_sizes()
    names = ["", *(info.name for info in class_map.classes)]
    labels = class_map.labels()
    confidence = class_map.confidence()
    entropy = class_map.entropy()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"prob_{name}" for name in names[1:])])
    blank = [""] * (3 + len(class_map.classes))
    for row in range(rows):
        y = grid.area.top + row * grid.stride
        for col in range(cols):
            place = [row, col, y, grid.area.left + col * grid.stride, heights[row], widths[col]]
            number = int(labels[row, col])
            if number == 0:
                writer.writerow([*place, *blank])
                continue
            probabilities = [f"{p:.5f}" for p in class_map.probabilities[row, col]]
            sure = [f"{confidence[row, col]:.5f}", f"{entropy[row, col]:.5f}"]
            writer.writerow([*place, names[number], *sure, *probabilities])
    return text.getvalue()


def summarise(class_map: ClassMap, image: SemImage) -> dict[str, Any]:
    """The run in numbers, as plain JSON values: image, grid, classes with fractions, record.

    Fractions are shares of the classified area, 0 to 1; areas are in pixels and, where the image
    is calibrated, in µm².
    """
    grid = class_map.grid
    rows, cols = grid.shape
    left_out = class_map.left_out
    areas = grid.cell_areas()
    confidence = class_map.confidence()
    labels = class_map.labels()
    classes = []
    for number, share in enumerate(class_map.fractions(), start=1):
        mine = labels == number
        classes.append(
            {
                "name": share.name,
                "colour": share.colour,
                "cells": share.cells,
                "fraction": share.fraction,
                "area_px": share.area_px,
                "area_um2": share.area_um2,
                "mean_confidence": float(confidence[mine].mean()) if mine.any() else None,
            }
        )
    classified_px = int(areas[~left_out].sum())
    size = class_map.pixel_size_nm
    return {
        "image": class_map.image_name or image.name,
        "path": None if image.path is None else str(image.path),
        "plane": list(class_map.plane),
        "shape": list(image.shape),
        "level": image.level,
        "dtype": str(image.dtype),
        "vendor": image.vendor,
        "pixel_size_nm": size,
        "pixel_size_source": image.pixel_size_source,
        "specimen": image.area.as_list(),
        "specimen_source": image.specimen.source,
        "grid": {
            "area": grid.area.as_list(),
            "tile_px": grid.tile,
            "tile_um": None if size is None else grid.tile * size / 1000.0,
            "stride_px": grid.stride,
            "tiles": grid.n_tiles,
            "rows": rows,
            "cols": cols,
        },
        "cells": rows * cols,
        "cells_left_out": int(left_out.sum()),
        "classified_area_px": classified_px,
        "classified_area_um2": None if size is None else classified_px * (size / 1000.0) ** 2,
        "classes": classes,
        "record": dict(class_map.record),
    }


def write_label_image(class_map: ClassMap, path: Path) -> None:
    """Write the class numbers as a TIFF that ImageJ opens in colour and to scale.

    One pixel a cell: 0 left out, 1 the first class. Names, colours and the place of the map in
    the image are JSON in ImageJ's *Info* (Image > Show Info).

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    from tifffile import imwrite

    labels: NDArray[Any] = class_map.labels()
    metadata: dict[str, Any] = {"axes": "YX"}
    if len(class_map.classes) <= 255:
        labels = labels.astype(np.uint8)
        metadata["LUTs"] = [_lookup_table(class_map)]
        metadata["mode"] = "color"
        metadata["min"], metadata["max"] = 0.0, 255.0
    grid = class_map.grid
    info = {
        "image": class_map.image_name,
        "classes": {
            number: {"name": each.name, "colour": each.colour}
            for number, each in enumerate(class_map.classes, start=1)
        },
        "cell_px": grid.stride,
        "area": grid.area.as_list(),
        "pixel_size_nm": class_map.pixel_size_nm,
    }
    metadata["Info"] = json.dumps(info, ensure_ascii=False, indent=1)
    resolution = None
    if class_map.pixel_size_nm is not None:
        per_um = 1000.0 / (class_map.pixel_size_nm * grid.stride)
        resolution = (per_um, per_um)
        metadata["unit"] = "um"
    with atomic_path(path) as temporary:
        imwrite(
            temporary,
            labels,
            imagej=True,
            metadata=metadata,
            resolution=resolution,
            resolutionunit="NONE",
        )


def _lookup_table(class_map: ClassMap) -> Any:
    """ImageJ's lookup table, uint8, shape (3, 256): black for 0, then the classes' colours."""
    table = np.zeros((3, 256), dtype=np.uint8)
    for number, info in enumerate(class_map.classes, start=1):
        table[:, number] = [int(info.colour[at : at + 2], 16) for at in (1, 3, 5)]
    return table
