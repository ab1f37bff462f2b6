"""All that class maps can be written as: a row a kind, which menu, forms and commands read.

To add one, write a module with a function that makes its file, name it in `outputs.WRITERS`, and
add its row here. The rows know no writers, so that the command line can name the kinds without
loading what makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_sem_classify.core.common.errors import OutputError


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing to write.

    Attributes
    ----------
    key, title : str
        Short name, and that for a menu.
    suffixes : tuple of str
        Endings of its files, the usual one first.
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
    needs_image: bool = False
    for_all: bool = False
    label: str = ""
    also: tuple[str, ...] = ()
    napari: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each ending."""
        return (self.key,) if len(self.suffixes) == 1 else self.also


KINDS = (
    Kind("fractions", "Area fractions (CSV)", (".fractions.csv",), for_all=True),
    Kind("regions", "Regions (CSV)", (".regions.csv",), label="regions"),
    Kind("tiles", "Cells of the map (CSV)", (".tiles.csv",), label="tables", also=("csv",)),
    Kind("summary", "Fractions and record (JSON)", (".summary.json",), needs_image=True),
    Kind(
        "map",
        "Class map (TIFF, for ImageJ and napari)",
        (".map.tif",),
        also=("tif",),
        napari=(".map.tif",),
    ),
    Kind(
        "overlay",
        "Picture with legend (PNG)",
        (".overlay.png",),
        needs_image=True,
        label="pictures",
    ),
    Kind(
        "geojson",
        "Polygons for QuPath (GeoJSON)",
        (".geojson",),
        label="GeoJSON",
        napari=(".map.geojson",),
    ),
    Kind(
        "ome-zarr",
        "Class map with image (OME-Zarr)",
        (".map.ome.zarr",),
        needs_image=True,
        label="OME-Zarr",
        napari=(".map.ome.zarr",),
    ),
    Kind(
        "figure",
        "Figure (PNG, SVG, PDF)",
        (".figure.png", ".figure.svg", ".figure.pdf"),
        needs_image=True,
        label="figures",
        also=("png", "svg", "pdf"),
        napari=(".figure.png", ".figure.svg", ".figure.pdf"),
    ),
    Kind(
        "report",
        "Report (HTML)",
        (".report.html",),
        needs_image=True,
        for_all=True,
        also=("html",),
        napari=(".map.html",),
    ),
)
ALWAYS = ("summary", "map")
"""A batch writes these of every image: from them a run is repeated and a map is opened again."""
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
