"""All that can be exported, each opened again by another program and compared with the map."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from class_maps import NAMES, map_of, patchy_labels
from cli_files import files_in
from PIL import Image
from small_disk import fill_up, small_disk

from napari_sem_classify.core.common.errors import Cancelled, OutputError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.export.figure import FigureLook
from napari_sem_classify.core.export.kinds import (
    EACH,
    KINDS,
    USUAL,
    ending,
    in_order,
    kind_named,
)
from napari_sem_classify.core.export.measured import Measured, file_stem
from napari_sem_classify.core.export.outputs import write_export, write_outputs
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.regions import find_regions
from napari_sem_classify.core.measure.review import start_review
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.model.file import head_sha256, save_model

NM, STRIDE = 50.0, 16


def image_of(class_map):
    area = class_map.grid.area
    pixels = np.random.default_rng(0).integers(20, 230, (area.bottom, area.right), np.uint8)
    return SemImage(class_map.image_name, pixels, Specimen(area), class_map.pixel_size_nm)


@pytest.fixture
def class_map():
    """A third of a picture's cells in each class, some left out, its last cells cut off."""
    labels = patchy_labels((14, 20))
    labels[3:5, 7:9] = 0
    return map_of(labels, cut=(5, 9), offset=(12, 3), pixel_size_nm=NM)


@pytest.fixture
def measured(class_map):
    return Measured([class_map], [image_of(class_map)])


def write(key, measured, target, **options):
    return write_export(kind_named(key), measured, target, **options)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_of_cells_has_the_class_of_every_cell(tmp_path, measured, class_map):
    (path,) = write("tiles", measured, tmp_path / "a.tiles.csv")
    rows = rows_of(path)
    labels = class_map.labels()
    assert len(rows) == labels.size
    for row in rows:
        number = labels[int(row["row"]), int(row["col"])]
        assert row["class"] == ("", *NAMES)[number]


def test_the_table_of_regions_adds_up_to_the_map(tmp_path, measured, class_map):
    (path,) = write("regions", measured, tmp_path / "a.regions.csv")
    rows = rows_of(path)
    assert len(rows) == len(find_regions(class_map))
    for share in class_map.fractions():
        mine = [row for row in rows if row["class"] == share.name]
        assert sum(int(row["area_px"]) for row in mine) == share.area_px
        assert sum(float(row["area_um2"]) for row in mine) == pytest.approx(
            share.area_um2, rel=1e-4
        )


def test_the_table_of_fractions_has_the_maps_own_and_the_corrected_ones(tmp_path, class_map):
    review = start_review([class_map], 60)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class if index % 7 else 1)
    estimate = estimate_fractions(count_review(review), NAMES, pixel_size_nm=NM)
    known = Measured([class_map], [None], estimate)
    (path,) = write("fractions", known, tmp_path / "a.fractions.csv")
    rows = rows_of(path)
    for k, share in enumerate(class_map.fractions()):
        raw, corrected = rows[k], rows[k + 3]
        assert raw["class"] == corrected["class"] == share.name
        assert int(raw["cells"]) == share.cells
        assert float(raw["fraction"]) == pytest.approx(share.fraction, rel=1e-5)
        assert float(corrected["corrected"]) == pytest.approx(estimate.corrected[k].value, rel=1e-5)
        assert float(corrected["low"]) == pytest.approx(estimate.corrected[k].low, rel=1e-4)


def test_imagej_reads_the_class_map_with_its_calibration(tmp_path, measured, class_map):
    (path,) = write("map", measured, tmp_path / "a.map.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert (file.pages[0].asarray() == class_map.labels()).all()
        assert file.imagej_metadata["unit"] == "um"
        for tag in ("XResolution", "YResolution"):
            pixels, length = file.pages[0].tags[tag].value
            assert length / pixels == pytest.approx(STRIDE * NM / 1000, rel=1e-6)


def test_ome_zarr_py_reads_the_class_map(tmp_path, measured, class_map):
    pytest.importorskip("ome_zarr", reason="ome-zarr-py reads the map back")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (path,) = write("ome-zarr", measured, tmp_path / "a.map.ome.zarr")
    nodes = list(Reader(parse_url(path))())
    classes = next(node for node in nodes if "classes" in str(node.zarr))
    assert (np.asarray(classes.data[0]) == class_map.labels()).all()


def test_shapely_reads_the_polygons_cell_by_cell(tmp_path, measured, class_map):
    shapely = pytest.importorskip("shapely", reason="shapely reads the polygons back")
    from shapely.geometry import shape

    (path,) = write("geojson", measured, tmp_path / "a.geojson")
    found = np.zeros(class_map.grid.shape, int)
    places = [(row, col) for row in range(found.shape[0]) for col in range(found.shape[1])]
    boxes = [class_map.grid.cell(row, col) for row, col in places]
    points = shapely.points([(b.left + b.width / 2, b.top + b.height / 2) for b in boxes])
    for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
        name = feature["properties"]["classification"]["name"]
        for index in np.flatnonzero(shapely.contains(shape(feature["geometry"]), points)):
            found[places[index]] = NAMES.index(name) + 1
    assert (found == class_map.labels()).all()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_is_of_the_kind_that_its_name_says(tmp_path, measured, suffix):
    (path,) = write("figure", measured, tmp_path / f"a{suffix}")
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF-"}[suffix]
    assert path.read_bytes().startswith(start)


def test_a_figure_looks_as_asked(tmp_path, measured):
    def written(look):
        (path,) = write("figure", replace(measured, look=look), tmp_path / "a.svg")
        text = path.read_text(encoding="utf-8")
        (png,) = write("figure", replace(measured, look=look), tmp_path / "a.png")
        with Image.open(png) as picture:
            return text, picture.height, np.asarray(picture.convert("RGB"))

    usual, height, picture = written(None)
    assert "oxide" in usual
    assert "µm<" in usual
    bare, lower, _ = written(FigureLook(legend=False, scale_bar=False))
    assert "oxide" not in bare
    assert "µm<" not in bare
    assert lower < height
    _, _, solid = written(FigureLook(opacity=1.0))
    oxide = (86, 180, 233)
    assert (solid == oxide).all(axis=-1).sum() > 2 * (picture == oxide).all(axis=-1).sum()


def test_several_maps_go_into_a_folder_under_names_of_their_own(tmp_path, class_map):
    maps = [class_map, class_map, replace(class_map, image_name="other", plane=(3,))]
    images = [image_of(one) for one in maps]
    images[2] = replace(images[2], data=np.stack([images[2].data] * 4))
    known = Measured(maps, images)
    written = write("figure", known, tmp_path / "new")
    assert [path.name for path in written] == [
        "coating_12.figure.png",
        "coating_12-2.figure.png",
        "other_z0003.figure.png",
    ]
    assert sorted(path.name for path in written) == files_in(tmp_path / "new")


def test_a_name_with_a_slash_stays_in_the_folder(class_map):
    assert file_stem(replace(class_map, image_name="a/b")) == "a_b"


# ---------------------------------------------------------------------- the report


@pytest.fixture
def known_model(tmp_path, class_map):
    """A model file, and the map as if that model had made it."""
    model = load_model("demo")
    path = save_model(tmp_path / "mine", replace(model, card=replace(model.card, name="mine")))
    with_bias = replace(model.head, bias=model.head.bias + 1)
    save_model(path, replace(load_model(path), head=with_bias))
    record = {"name": "mine", "path": str(path), "head_sha256": head_sha256(with_bias)}
    return path, replace(class_map, record={"model": record})


def test_a_report_finds_the_card_of_the_model_that_made_the_maps(tmp_path, known_model):
    path, class_map = known_model
    known = Measured([class_map], [image_of(class_map)])
    (page,) = write("report", known, tmp_path / "a.report.html")
    assert "<h2>Model</h2>\n<p>mine, taught" in page.read_text(encoding="utf-8")
    save_model(path, load_model("demo"))
    (page,) = write("report", known, tmp_path / "b.report.html")
    assert "<h2>Model</h2>" not in page.read_text(encoding="utf-8"), "another model lies there now"


def test_maps_of_different_models_have_no_card_in_common(tmp_path, known_model):
    _, class_map = known_model
    other = replace(class_map, record={"model": {"head_sha256": "0" * 64}})
    known = Measured([class_map, other], [image_of(class_map)] * 2)
    (page,) = write("report", known, tmp_path / "a.report.html")
    assert "<h2>Model</h2>" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("blind", "words"), [(True, "was blind"), (False, "in view during the review"), (None, "")]
)
def test_a_report_says_whether_the_review_was_blind(tmp_path, class_map, blind, words):
    review = start_review([class_map], 30)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class, blind=blind)
    estimate = estimate_fractions(count_review(review), NAMES)
    known = Measured([class_map], [image_of(class_map)], estimate, blind=review.blind)
    (page,) = write("report", known, tmp_path / "a.report.html")
    text = page.read_text(encoding="utf-8")
    assert words in text
    assert ("blind" in text or "in view" in text) == (blind is not None)


# ---------------------------------------------------------------------- trouble


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_without_the_image_only_what_needs_it_is_refused(tmp_path, class_map, kind):
    known = Measured([class_map], [None])
    target = tmp_path / f"a{kind.suffixes[0]}"
    if not kind.needs_image:
        assert write_export(kind, known, target) == [target]
        return
    with pytest.raises(OutputError, match=r"coating_12 is not open: open it to write"):
        write_export(kind, known, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(tmp_path, kind):
    big = map_of(patchy_labels((60, 80)), image_name="big")
    known = Measured([big], [image_of(big)])
    with small_disk(tmp_path / "disk", 400) as disk:
        target = disk / f"big{kind.suffixes[0]}"
        filler = fill_up(disk, 0)
        with pytest.raises(OutputError) as refused:
            write_export(kind, known, target)
        assert "No space left" in str(refused.value)
        assert "\n" not in str(refused.value)
        assert list(disk.iterdir()) == [filler]


def test_cancelling_keeps_the_files_that_are_finished(tmp_path, class_map):
    maps = [replace(class_map, image_name=f"field {number}") for number in range(4)]
    cancel, told = Job(), []

    def progress(at):
        told.append(at.done)
        if at.done == 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        write("map", Measured(maps, [None] * 4), tmp_path, job=cancel.telling(progress))
    assert told == [0, 1, 2]
    assert files_in(tmp_path) == [f"field {number}.map.tif" for number in range(3)]


def test_a_kind_that_is_none_is_refused_with_the_ones_there_are():
    with pytest.raises(OutputError, match=r"choose one of fractions, regions"):
        kind_named("gif")


# ---------------------------------------------------------------------- the registry


def test_every_name_and_ending_stands_for_one_kind():
    names = [name for kind in KINDS for name in {kind.key, *kind.names, *kind.also}]
    endings = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(set(names)) == len(names)
    assert len(set(endings)) == len(endings)
    for kind in KINDS:
        assert [ending(name) for name in kind.names] == list(kind.suffixes)


def test_names_of_earlier_versions_still_stand_for_the_same_files():
    earlier = {"csv": ".tiles.csv", "tif": ".map.tif", "html": ".report.html"}
    pictures = {"png": ".figure.png", "svg": ".figure.svg", "pdf": ".figure.pdf"}
    for name, suffix in (earlier | pictures).items():
        assert ending(name) == suffix
    assert in_order(["csv", "overlay"]) == in_order(USUAL) == USUAL
    assert in_order(["pdf", "geojson"]) == ("summary", "map", "geojson", "pdf")


def test_all_that_is_of_one_map_is_written_at_once_or_not_at_all(tmp_path, class_map):
    written = write_outputs(class_map, image_of(class_map), tmp_path, "field", EACH)
    assert [path.name for path in written] == [f"field{ending(name)}" for name in EACH]
    assert {path.name for path in written} <= set(files_in(tmp_path))
    with pytest.raises(OutputError, match="is not open"):
        write_outputs(class_map, None, tmp_path / "none", "field", ("tiles", "overlay"))
    assert list((tmp_path / "none").iterdir()) == []


def test_napari_saves_layers_under_the_endings_that_the_rows_say():
    from importlib.resources import files

    import yaml

    manifest = files("napari_sem_classify").joinpath("napari.yaml").read_text(encoding="utf-8")
    writers = yaml.safe_load(manifest)["contributions"]["writers"]
    said = [suffix for writer in writers for suffix in writer["filename_extensions"]]
    assert sorted(said) == sorted(suffix for kind in KINDS for suffix in kind.napari)
