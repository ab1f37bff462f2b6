"""Shares, areas and counts as text, and what a class that tiles only contain is called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from class_maps import NAMES, map_of, patchy_labels

from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.export.figure import draw_figure
from napari_sem_classify.core.export.fractions_csv import fractions_csv
from napari_sem_classify.core.export.geojson import to_geojson
from napari_sem_classify.core.export.measured import Measured
from napari_sem_classify.core.export.overlay import LEGEND_ROWS, draw_overlay
from napari_sem_classify.core.export.quantities import (
    area_text,
    counted,
    pixels_text,
    share_area_text,
    share_text,
)
from napari_sem_classify.core.export.report import report_html
from napari_sem_classify.core.export.summary import summarise
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.map_file import SavedMap, read_map, write_map
from napari_sem_classify.core.measure.area_fraction import (
    Share,
    count_review,
    estimate_fractions,
)
from napari_sem_classify.core.measure.field_statistics import pooled_fractions
from napari_sem_classify.core.measure.regions import find_regions, regions_csv
from napari_sem_classify.core.measure.review import start_review
from napari_sem_classify.core.model.catalogue import load_model

TILES = "tiles with crack"


def with_cracks(**options):
    """A map whose third class was taught by what tiles contain."""
    plain = map_of(patchy_labels(), **options)
    *others, crack = plain.classes
    return replace(plain, classes=(*others, replace(crack, contains=0.02)))


def image_of(class_map):
    area = class_map.grid.area
    pixels = np.full((area.bottom, area.right), 128, np.uint8)
    return SemImage("coating_12", pixels, Specimen(area), class_map.pixel_size_nm)


def words(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


def test_shares_are_written_as_a_microscopist_would():
    assert share_text(Share(0.612, 0.009, 0.594, 0.630)) == "61.2 ± 1.8 %"
    assert share_text(Share(0.004, 0.002, 0.001, 0.016)) == "0.4 % (0.1 to 1.6)"
    assert share_text(Share(float("nan"), 0, 0, 0)) == "–"
    assert share_text(Share(0.5, 0.0, 0.5, 0.5)) == "50.00 %"
    assert share_text(Share(0.0, 0.0, 0.0, 0.02)) == "0.0 % (0.0 to 2.0)"


def test_areas_have_sensible_units():
    assert area_text(None) == ""
    assert area_text(0.0) == "0 µm²"
    assert area_text(12.345) == "12.3 µm²"
    assert area_text(2.5e6) == "2.50 mm²"
    assert area_text(0.002) == "2\u2009000 nm²"
    assert pixels_text(12800) == "12\u2009800 px²"
    assert [counted(n, "tile") for n in (0, 1, 7552)] == ["0 tiles", "1 tile", "7\u2009552 tiles"]


def test_an_area_has_the_digits_that_its_interval_warrants():
    def told(low, value, high, whole):
        return share_area_text(Share(value, 0.0, low, high), whole)

    assert told(0.40, 0.41, 0.42, 1801.0) == "738 ± 18 µm²"
    assert told(0.30, 0.41, 0.52, 1801.0) == "740 ± 200 µm²"
    assert told(0.409, 0.410, 0.411, 1801.0) == "738.4 ± 1.8 µm²"
    assert told(0.001, 0.004, 0.016, 1801.0) == "7 µm² (2 to 29)"
    assert told(0.4, 0.4, 0.4, 1801.0) == "720 µm²"
    assert told(0.40, 0.41, 0.42, None) == ""


def test_a_class_found_by_what_tiles_contain_has_a_share_of_tiles_and_no_area():
    share = with_cracks().fractions()[2]
    assert (share.name, share.title, share.is_area) == ("crack", TILES, False)
    assert share.area_um2 is None
    assert share.fraction > 0
    assert with_cracks().fractions()[0].area_um2 is not None
    pooled = pooled_fractions([with_cracks(), with_cracks()])
    assert [row.title for row in pooled] == ["matrix", "oxide", TILES]
    assert pooled[2].area_um2 is None


def test_tables_say_so_and_leave_its_area_empty(tmp_path):
    class_map = with_cracks()
    review = start_review([class_map], 60)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class)
    estimate = estimate_fractions(count_review(review), NAMES, pixel_size_nm=50.0)
    write_text(tmp_path / "f.csv", fractions_csv([class_map], estimate))
    table = pd.read_csv(tmp_path / "f.csv")
    mine = table[table["class"] == TILES]
    assert len(mine) == 2
    assert mine["area_px"].isna().all()
    assert mine["area_um2"].isna().all()
    assert mine["fraction"].notna().all()
    assert "crack" not in set(table["class"])
    write_text(tmp_path / "r.csv", regions_csv(find_regions(class_map)))
    regions = pd.read_csv(tmp_path / "r.csv")
    mine = regions[regions["class"] == TILES]
    assert len(mine)
    assert mine[["area_px", "area_um2", "equivalent_diameter_um"]].isna().all(axis=None)
    assert regions[regions["class"] == "matrix"]["area_um2"].notna().all()
    plain = summarise(class_map, image_of(class_map))["classes"][2]
    assert plain["share_of"] == "tiles"
    assert plain["area_px"] is None
    assert plain["area_um2"] is None


def test_figure_picture_polygons_and_report_say_so():
    class_map = with_cracks()
    image = image_of(class_map)
    said = words(draw_figure(class_map, image))
    assert TILES in said
    assert any(text.endswith("% of tiles") for text in said)
    assert sum(text.endswith("µm²") for text in said) == 2
    said = words(draw_overlay(class_map, image))
    assert TILES in said
    assert "Area fraction" not in said
    names = {f["properties"]["name"] for f in to_geojson(class_map)["features"]}
    assert any(name.startswith(TILES) for name in names)
    html = report_html(Measured([class_map], [image]))
    assert f"</span>{TILES}" in html
    assert "% of tiles" in html


def test_a_map_without_calibration_has_px2():
    class_map = with_cracks(pixel_size_nm=None)
    said = words(draw_figure(class_map, image_of(class_map)))
    assert sum(text.endswith("px²") for text in said) == 2
    assert "px²" in report_html(Measured([class_map], [image_of(class_map)]))


def test_a_saved_map_and_a_model_from_before_know_it(tmp_path):
    write_map(SavedMap.of(with_cracks()), tmp_path / "a.map.tif")
    again = read_map(tmp_path / "a.map.tif")
    assert again.first.classes == with_cracks().classes
    # The demo's model told it in its record alone.
    assert [info.title for info in load_model("demo").card.classes][-1] == TILES


def test_the_legend_of_very_many_classes_stays_as_high_as_that_of_some():
    names = tuple(f"class {number}" for number in range(60))
    class_map = map_of(patchy_labels(), names=names)
    figure = draw_overlay(class_map, image_of(class_map))
    some = draw_overlay(
        map_of(patchy_labels(), names=names[: LEGEND_ROWS + 1]), image_of(class_map)
    )
    assert figure.get_size_inches()[1] == some.get_size_inches()[1]
    said = words(figure)
    assert {"class 0", "class 1", "class 2", "and 36 more classes"} <= set(said)
