"""All that class maps can be written as, under one roof: what there is, what it needs, how it ends.

Some kinds are one file about all the maps (area fractions, report), the others one file a map. Of
several maps the latter go into a folder, named after their images.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.export.figure import FigureLook, write_figure
from napari_sem_classify.core.export.fractions_csv import write_fractions
from napari_sem_classify.core.export.geojson import write_geojson
from napari_sem_classify.core.export.ome_zarr import write_ome_zarr
from napari_sem_classify.core.export.outputs import write_tiles_csv
from napari_sem_classify.core.export.report import Report, write_report
from napari_sem_classify.core.image.plane_names import plane_suffix
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap, write_map
from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share
from napari_sem_classify.core.measure.field_statistics import FieldSpread
from napari_sem_classify.core.measure.regions import find_regions, write_regions
from napari_sem_classify.core.model.card import ModelCard


@dataclass(frozen=True, slots=True)
class ExportKind:
    """One thing to write.

    Attributes
    ----------
    key : str
        Short name: "tiles", "regions", "fractions", "map", "ome-zarr", "geojson", "figure",
        "report".
    title : str
        For a menu.
    suffixes : tuple of str
        Endings of its files, the usual one first.
    needs_image : bool
        Whether it shows the specimen.
    for_all : bool
        Whether there is one file for all the maps.
    """

    key: str
    title: str
    suffixes: tuple[str, ...]
    needs_image: bool = False
    for_all: bool = False


KINDS = (
    ExportKind("fractions", "Area fractions (CSV)", (".fractions.csv",), for_all=True),
    ExportKind("regions", "Regions (CSV)", (".regions.csv",)),
    ExportKind("tiles", "Cells of the map (CSV)", (".tiles.csv",)),
    ExportKind("map", "Class map (TIFF, for ImageJ and napari)", (".map.tif",)),
    ExportKind("ome-zarr", "Class map with image (OME-Zarr)", (".map.ome.zarr",), needs_image=True),
    ExportKind("geojson", "Polygons for QuPath (GeoJSON)", (".geojson",)),
    ExportKind(
        "figure", "Figure (PNG, SVG, PDF)", (".figure.png", ".svg", ".pdf"), needs_image=True
    ),
    ExportKind("report", "Report (HTML)", (".report.html",), needs_image=True, for_all=True),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Class maps and all that is known of them.

    Attributes
    ----------
    maps : sequence of ClassMap
        At least one, of the same classes.
    images : sequence of SemImage or None
        One a map; None where the image is not at hand.
    estimate : FractionEstimate or None
        From one review of all the maps.
    powered : sequence of Share or None
        The prediction-powered estimate of that review.
    spreads : sequence of FieldSpread or None
        One a class, over the maps.
    card : ModelCard or None
        Of the model that made the maps; where it is not given, a report looks for it.
    saved : sequence of SavedMap
        What the viewer adds to each map, empty without a viewer.
    blind : bool or None
        Whether that review was blind; None where that is not known.
    """

    maps: Sequence[ClassMap]
    images: Sequence[SemImage | None]
    estimate: FractionEstimate | None = None
    powered: Sequence[Share] | None = None
    spreads: Sequence[FieldSpread] | None = None
    card: ModelCard | None = None
    saved: Sequence[SavedMap] = field(default=())
    blind: bool | None = None


def kind_named(key: str) -> ExportKind:
    """The kind with a short name.

    Raises
    ------
    OutputError
        When there is none.
    """
    for kind in KINDS:
        if kind.key == key:
            return kind
    names = ", ".join(kind.key for kind in KINDS)
    raise OutputError(f"{key} is nothing that can be written: choose one of {names}.")


def file_stem(class_map: ClassMap) -> str:
    """Start of the names of a map's files."""
    return (class_map.image_name or "class map").replace("/", "_") + plane_suffix(class_map.plane)


def write_export(
    kind: ExportKind,
    measured: Measured,
    target: Path,
    *,
    look: FigureLook | None = None,
    job: Job | None = None,
) -> list[Path]:
    """Write one kind of file.

    Parameters
    ----------
    kind : ExportKind
    measured : Measured
    target : Path
        The file; of several maps, where `kind` is one file a map, the folder (made when it is not
        there).
    look : FigureLook, optional
        Of figures.
    job : Job, optional
        Told and asked before each file.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputError
        When it needs an image that is not at hand, or a file cannot be written.
    ImageError
        When an image cannot be read.
    Cancelled
        When the job was asked to stop; files that are finished stay.
    """
    if kind.needs_image:
        for class_map, image in zip(measured.maps, measured.images, strict=True):
            if image is None:
                raise OutputError(
                    f"The image of {class_map.image_name or 'this map'} is not open: open it to "
                    f"write {kind.title}."
                )
    if kind.for_all:
        _tell(job, 0, 1, 0.0)
        if kind.key == "fractions":
            write_fractions(measured.maps, target, measured.estimate, measured.powered)
        else:
            write_report(_report(measured), target)
        return [target]
    targets = [target]
    if len(measured.maps) > 1:
        ensure_folder(target)
        targets = _names(measured.maps, target, kind.suffixes[0])
    start = time.perf_counter()
    for number, path in enumerate(targets):
        if job is not None:
            job.check()
        _tell(job, number, len(targets), time.perf_counter() - start)
        _write_one(kind, measured, number, path, look)
    return targets


def _write_one(
    kind: ExportKind, measured: Measured, number: int, path: Path, look: FigureLook | None
) -> None:
    class_map, image = measured.maps[number], measured.images[number]
    if kind.key == "regions":
        write_regions(find_regions(class_map), path)
    elif kind.key == "tiles":
        write_tiles_csv(class_map, path)
    elif kind.key == "map":
        known = measured.saved[number] if measured.saved else SavedMap.of(class_map, image)
        write_map(known, path)
    elif kind.key == "geojson":
        write_geojson(class_map, path)
    elif image is not None and kind.key == "ome-zarr":
        shown = measured.saved[number].shown if measured.saved else None
        write_ome_zarr(class_map, image, path, shown)
    elif image is not None:
        # A pooled estimate is no statement about one image of several.
        estimate = measured.estimate if len(measured.maps) == 1 else None
        write_figure(class_map, image, path, estimate, look=look)


def _report(measured: Measured) -> Report:
    pairs = [
        (class_map, image)
        for class_map, image in zip(measured.maps, measured.images, strict=True)
        if image is not None
    ]
    first = measured.maps[0]
    title = file_stem(first) if len(pairs) == 1 else f"{len(pairs)} images"
    return Report(
        f"Area fractions of {title}",
        pairs,
        measured.estimate,
        measured.powered,
        measured.spreads,
        measured.card or card_of(measured.maps),
        blind=measured.blind,
    )


def card_of(maps: Sequence[ClassMap]) -> ModelCard | None:
    """The card of the model that made all these maps, where its file is found by the records."""
    from napari_sem_classify.core.classify.rerun_inputs import recorded_card

    models = [class_map.record.get("model") or {} for class_map in maps]
    hashes = {model.get("head_sha256") for model in models}
    return recorded_card(models[0]) if len(hashes) == 1 else None


def _names(maps: Sequence[ClassMap], folder: Path, suffix: str) -> list[Path]:
    """A file a map; maps of one name get numbers."""
    stems = [file_stem(class_map) for class_map in maps]
    names = []
    for number, stem in enumerate(stems):
        before = stems[:number].count(stem)
        names.append(folder / f"{stem}{f'-{before + 1}' if before else ''}{suffix}")
    return names


def _tell(job: Job | None, done: int, total: int, elapsed: float) -> None:
    if job is not None:
        job.tell(Progress(done, total, "Writing", elapsed))
