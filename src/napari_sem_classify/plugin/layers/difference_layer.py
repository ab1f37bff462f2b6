"""The layer that shows where two class maps of one image differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.maps.map_difference import MapDifference, differing_cells
from napari_sem_classify.plugin.app.session import session_of, unwrapped
from napari_sem_classify.plugin.app.text import count_text, percent_text
from napari_sem_classify.plugin.layers.layer_image import notes_of
from napari_sem_classify.plugin.layers.made_layers import (
    CLASSES,
    add_made,
    cells_on,
    made_from,
    remove_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

DIFFERENCE = "difference"
OTHER_CLASS, ONE_ONLY = "#d55e00", "#999999"
OPACITY = 0.8


def map_title(layer: Labels) -> str:
    """How a class map is called beside others: its layer and its model."""
    model = notes_of(layer).get("model", {}).get("name")
    return f"{layer.name} ({model})" if model else str(layer.name)


def maps_to_compare(viewer: ViewerModel, image_layer: Image | None) -> list[Labels]:
    """The class-map layers of an image whose maps are known, lowest first."""
    if image_layer is None:
        return []
    known = session_of(viewer).maps
    return [layer for layer in made_from(viewer, image_layer, CLASSES) if known.get(layer)]


def show_difference(
    viewer: ViewerModel, image_layer: Image, first: Labels, second: Labels
) -> tuple[Labels, str]:
    """Show where two maps differ, in place of the difference shown before.

    Gives the layer and a sentence on how much differs; GridError where they cannot be compared.
    """
    viewer, image_layer = unwrapped(viewer), unwrapped(image_layer)
    session = session_of(viewer)
    level = notes_of(first).get("level", 0)
    planes = session.maps[first].keys() & session.maps[second].keys()
    if not planes or first.data.shape[:-2] != second.data.shape[:-2]:
        raise GridError("The two maps have no plane in common: classify the same plane with both.")
    if notes_of(second).get("level", 0) != level:
        raise GridError(
            "The two maps were made at different levels of the image: classify the same level."
        )
    found = {
        plane: differing_cells(session.maps[first][plane], session.maps[second][plane])
        for plane in planes
    }
    pairs = sorted({(p.first, p.second, p.one_only) for each in found.values() for p in each.pairs})
    number_of = {pair[:2]: number for number, pair in enumerate(pairs, start=1)}
    grid = session.maps[first][next(iter(planes))].grid
    data = np.zeros((*first.data.shape[:-2], *grid.shape), dtype=np.uint16)
    for plane, each in found.items():
        numbers = [0, *(number_of[p.first, p.second] for p in each.pairs)]
        data[plane] = np.array(numbers, dtype=np.uint16)[each.labels]
    for old in made_from(viewer, image_layer, DIFFERENCE):
        remove_layer(viewer, old)
    layer: Labels = add_made(
        viewer,
        image_layer,
        DIFFERENCE,
        "labels",
        data,
        notes={"first": map_title(first), "second": map_title(second), "level": level},
        colormap=_colours([one_only for _, _, one_only in pairs]),
        features={
            "index": list(range(len(pairs) + 1)),
            "pair": ["the same", *(f"{one} / {other}" for one, other, _ in pairs)],
            "first": ["", *(one for one, _, _ in pairs)],
            "second": ["", *(other for _, other, _ in pairs)],
        },
        opacity=OPACITY,
        **cells_on(image_layer, grid, data.ndim, level),
    )
    return layer, _sentence(list(found.values()))


def _sentence(found: list[MapDifference]) -> str:
    cells, compared = sum(each.cells for each in found), sum(each.compared_cells for each in found)
    if not compared:
        return "The two maps have no cell in common."
    area = sum(each.compared_px for each in found)
    share = sum(each.area_fraction * each.compared_px for each in found if each.compared_px) / area
    said = (
        f"{count_text(cells)} of {count_text(compared)} cells differ, "
        f"{percent_text(share)} of the area"
    )
    one_only = sum(each.one_only_cells for each in found)
    if not one_only:
        return f"{said}."
    return f"{said}; {count_text(one_only)} have a class in one map only."


def _colours(one_only: list[bool]) -> Any:
    """One colour for another class, a second one for cells that one map left out."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for number, alone in enumerate(one_only, start=1):
        colours[number] = ONE_ONLY if alone else OTHER_CLASS
    return DirectLabelColormap(color_dict=colours)
