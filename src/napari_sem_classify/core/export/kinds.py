"""All that class maps can be written as: a row a kind, which menu, forms and commands read.

To add one, write a module with a function that takes what was `Measured` and a path, and add its
row here. The rows import their writers when they write, so that the command line can name the kinds
without loading what makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sem_classify.core.export.measured import Measured


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing to write.

    Attributes
    ----------
    key, title : str
        Short name, and that for a menu.
    suffixes : tuple of str
        Endings of its files, the usual one first.
    write : callable
        Writes what was measured into a file, all of it or nothing.
    needs_image : bool
        Whether it shows the specimen.
    for_all : bool
        Whether there is one file for all the maps; else there is one a map.
    label : str
        Beside a check box.
    also : tuple of str
        Further names. Where a kind has several endings, each stands for one of them, in order.
        Others are names that earlier versions used.
    napari : tuple of str
        Endings under which napari saves a layer as this kind; the manifest has the same.
    """

    key: str
    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Measured, Path], None]
    needs_image: bool = False
    for_all: bool = False
    label: str = ""
    also: tuple[str, ...] = ()
    napari: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each ending."""
        return (self.key,) if len(self.suffixes) == 1 else self.also


def _fractions(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.fractions_csv import fractions_csv

    write_text(path, fractions_csv(known.maps, known.estimate, known.powered))


def _regions(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.measure.regions import find_regions, regions_csv

    write_text(path, regions_csv(find_regions(known.map)))


def _tiles(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.tiles_csv import write_tiles_csv

    write_tiles_csv(known.map, path)


def _summary(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.summary import summarise

    write_json(path, summarise(known.map, known.image, known.estimate))


def _map(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.maps.map_file import SavedMap, write_map

    write_map(known.saved[0] if known.saved else SavedMap.of(known.map, known.images[0]), path)


def _outlines(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.outlines.label_file import write_outlines
    from napari_sem_classify.core.outlines.outline import draw_outlines

    drawn = known.map if known.map.of_pixels else known.map.outlines
    write_outlines(drawn or draw_outlines(known.map, known.image), known.image, path)


def _overlay(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.overlay import write_overlay

    write_overlay(known.map, known.image, path)


def _geojson(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.geojson import write_geojson

    write_geojson(known.map, path)


def _ome_zarr(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.ome_zarr import write_ome_zarr

    write_ome_zarr(known.map, known.image, path, known.saved[0].shown if known.saved else None)


def _figure(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.figure import write_figure

    write_figure(known.map, known.image, path, known.estimate, look=known.look)


def _report(known: Measured, path: Path) -> None:
    from napari_sem_classify.core.export.report import write_report

    write_report(known, path)


KINDS = (
    Kind("fractions", "Area fractions (CSV)", (".fractions.csv",), _fractions, for_all=True),
    Kind("regions", "Regions (CSV)", (".regions.csv",), _regions, label="regions"),
    Kind("tiles", "Cells of the map (CSV)", (".tiles.csv",), _tiles, label="tables", also=("csv",)),
    Kind("summary", "Fractions and record (JSON)", (".summary.json",), _summary, needs_image=True),
    Kind(
        "map",
        "Class map (TIFF)",
        (".map.tif",),
        _map,
        also=("tif",),
        napari=(".map.tif",),
    ),
    Kind(
        "outlines",
        "Outlines (label TIFF)",
        (".outlines.tif",),
        _outlines,
        needs_image=True,
    ),
    Kind(
        "overlay",
        "Picture with legend (PNG)",
        (".overlay.png",),
        _overlay,
        needs_image=True,
        label="pictures",
    ),
    Kind(
        "geojson",
        "QuPath polygons (GeoJSON)",
        (".geojson",),
        _geojson,
        label="GeoJSON",
        napari=(".map.geojson",),
    ),
    Kind(
        "ome-zarr",
        "Map with image (OME-Zarr)",
        (".map.ome.zarr",),
        _ome_zarr,
        needs_image=True,
        label="OME-Zarr",
        napari=(".map.ome.zarr",),
    ),
    Kind(
        "figure",
        "Figure (PNG, SVG, PDF)",
        (".figure.png", ".figure.svg", ".figure.pdf"),
        _figure,
        needs_image=True,
        label="figures",
        also=("png", "svg", "pdf"),
        napari=(".figure.png", ".figure.svg", ".figure.pdf"),
    ),
    Kind(
        "report",
        "Report (HTML)",
        (".report.html",),
        _report,
        needs_image=True,
        for_all=True,
        also=("html",),
        napari=(".map.html",),
    ),
)
ALWAYS = ("summary", "map")
"""A batch writes these of every image: from them a run is repeated and a map is opened again."""
OUTLINES = "outlines"
"""This is written of a map whose outlines were drawn."""
USUAL = ("tiles", "summary", "map", "overlay")
"""What is written of a classified image where nothing else is asked for."""
EACH = tuple(name for kind in KINDS if not kind.for_all for name in kind.names)
TOGETHER = tuple(name for kind in KINDS if kind.for_all for name in kind.names)


def find_kind(name: str) -> tuple[Kind, str]:
    """The kind that a name stands for, and the ending of its files.

    Raises
    ------
    OutputError
        When there is none.
    """
    for kind in KINDS:
        for own, suffix in zip(kind.names, kind.suffixes, strict=True):
            if name == own:
                return kind, suffix
        if name == kind.key or name in kind.also:
            return kind, kind.suffixes[0]
    names = ", ".join(kind.key for kind in KINDS)
    raise OutputError(f"{name} is nothing that can be written: choose one of {names}.")


def kind_named(name: str) -> Kind:
    """The kind that a name stands for; raises as `find_kind`."""
    return find_kind(name)[0]


def ending(name: str) -> str:
    """The ending of the files that a name stands for; raises as `find_kind`."""
    return find_kind(name)[1]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names of one file a map each, with those that a batch always writes, in one order.

    Raises
    ------
    OutputError
        When a name is none.
    """
    wanted = {ending(name) for name in (*names, *ALWAYS)}
    return tuple(name for name in EACH if ending(name) in wanted)
