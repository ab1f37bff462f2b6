"""A class map in numbers: image, grid, classes with their fractions, record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.measure.area_fraction import FractionEstimate
from napari_sem_classify.core.model.transfer import judgement_in

_OF_CLASS = ("name", "colour", "cells", "fraction", "area_px", "area_um2")


def summarise(
    class_map: ClassMap, image: SemImage, estimate: FractionEstimate | None = None
) -> dict[str, Any]:
    """The run in numbers, as plain JSON values: image, grid, classes with fractions, record.

    ``transfer`` says whether the model holds on this image, see `Judgement.to_dict`.
    Fractions are shares of the classified area, 0 to 1; areas are in pixels and, where the image
    is calibrated, in µm². ``title`` is what tables call a class. Of a class whose ``share_of`` is
    "tiles" (it is found by what tiles contain) the fraction is one of tiles, each with its pixels,
    and there is no area. With an `estimate` of this map ``corrected`` tells the shares after a
    review, with their intervals, and how many cells or points were ``reviewed``.
    """
    left_out = class_map.left_out
    classified_px = int(class_map.grid.cell_areas()[~left_out].sum())
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
        "grid": _grid(class_map),
        "cells": left_out.size,
        "cells_left_out": int(left_out.sum()),
        "classified_area_px": classified_px,
        "classified_area_um2": None if size is None else classified_px * (size / 1000.0) ** 2,
        "classes": _classes(class_map),
        **({} if estimate is None else {"corrected": _corrected(estimate)}),
        **judgement_in(class_map.record).to_dict(),
        "record": dict(class_map.record),
    }


def _corrected(estimate: FractionEstimate) -> dict[str, Any]:
    pairs = zip(estimate.names, estimate.corrected, strict=True)
    return {
        "reviewed": int(estimate.counts.counts.sum()),
        "unit": estimate.counts.unit,
        "level": estimate.level,
        "classes": [{"name": name, **asdict(share)} for name, share in pairs],
    }


def _grid(class_map: ClassMap) -> dict[str, Any]:
    grid, size = class_map.grid, class_map.pixel_size_nm
    rows, cols = grid.shape
    return {
        "area": grid.area.as_list(),
        "tile_px": grid.tile,
        "tile_um": None if size is None else grid.tile * size / 1000.0,
        "stride_px": grid.stride,
        "tiles": grid.n_tiles,
        "rows": rows,
        "cols": cols,
    }


def _classes(class_map: ClassMap) -> list[dict[str, Any]]:
    confidence, labels = class_map.confidence(), class_map.labels()
    classes = []
    for number, share in enumerate(class_map.fractions(), start=1):
        mine = labels == number
        told = class_map.confidence_known and mine.any()
        plain = {key: getattr(share, key) for key in _OF_CLASS}
        plain |= {"title": share.title, "share_of": "area" if share.is_area else "tiles"}
        if not share.is_area:
            plain["area_px"] = None
        plain["mean_confidence"] = float(confidence[mine].mean()) if told else None
        classes.append(plain)
    return classes
