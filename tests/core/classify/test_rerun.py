"""A run repeated from its record: the same map, or a sentence on what differs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_sem_classify.core.classify.driver import classify_image, classify_planes
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.classify.record import file_sha256
from napari_sem_classify.core.classify.record_file import read_record
from napari_sem_classify.core.classify.rerun import rerun
from napari_sem_classify.core.common.errors import ImageError, ModelError, RecordError
from napari_sem_classify.core.export.outputs import write_outputs
from napari_sem_classify.core.model.catalogue import load_model, shipped_models_folder
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.sample.cross_section import generate_cross_section
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.tiles.grid import TileGrid


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """A small image classified with the model that comes with the program, and its files."""
    if not (shipped_models_folder() / "demo.safetensors").is_file():
        pytest.skip("needs the demo's model, which is made when the package is built")
    folder = tmp_path_factory.mktemp("run")
    sample = generate_cross_section((256, 320), seed=5)
    tifffile.imwrite(folder / "coating.tif", sample.image)
    classifier = load_model("demo")
    image = open_image(folder / "coating.tif").with_pixel_size(25.0)
    grid = TileGrid(image.area, 64, 64)
    class_map = classify_image(image, classifier, grid)
    write_outputs(class_map, image, folder, "coating")
    return folder


@pytest.fixture
def run(first_run, tmp_path):
    """A copy of the run's files, whose record names the copy's image."""
    folder = tmp_path / "run"
    shutil.copytree(first_run, folder)
    edit(folder, lambda r: r["image"].update(path=str(folder / "coating.tif")))
    return folder


def edit(folder, change):
    path = folder / "coating.summary.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value["record"])
    path.write_text(json.dumps(value), encoding="utf-8")


def record_of(folder):
    return folder / "coating.summary.json"


def test_nothing_changed_gives_the_same_map_and_nothing_to_tell(run):
    again = rerun(record_of(run))
    assert again.same is True
    assert again.differences == ()
    assert again.class_map.pixel_size_nm == 25.0
    old = tifffile.imread(run / "coating.map.tif")
    assert (again.class_map.labels() == old).all()


def test_an_image_that_moved_along_with_the_record_is_found(run):
    edit(run, lambda r: r["image"].update(path="/somewhere/else/coating.tif"))
    assert rerun(record_of(run)).same is True


def test_another_version_is_told_even_if_the_map_is_the_same(run):
    edit(run, lambda r: r["versions"].update(numpy="1.0"))
    again = rerun(record_of(run))
    assert again.same is True
    (difference,) = again.differences
    assert "numpy 1.0 →" in difference


def test_a_changed_image_and_its_changed_cells_are_told(run):
    pixels = tifffile.imread(run / "coating.tif")
    tifffile.imwrite(run / "coating.tif", np.ascontiguousarray(pixels[:, ::-1]))
    again = rerun(record_of(run))
    assert again.same is False
    assert again.cells_changed > 0
    assert any("content differs" in each for each in again.differences)
    assert any("cells have another class" in each for each in again.differences)


def test_without_the_old_map_it_says_that_it_could_not_compare(run):
    (run / "coating.map.tif").unlink()
    again = rerun(record_of(run))
    assert again.same is True  # the record holds the map's hash
    edit(run, lambda r: r.update(map_sha256="0" * 64))
    again = rerun(record_of(run))
    assert again.same is False
    assert any("how many is not known" in each for each in again.differences)
    edit(run, lambda r: r.pop("map_sha256"))
    again = rerun(record_of(run))
    assert again.same is None
    assert any("could not be compared" in each for each in again.differences)


def test_a_missing_model_is_asked_for_and_may_be_given(run, tmp_path):
    edit(run, lambda r: r["model"].update(head_sha256="0" * 64, name="mine"))
    with pytest.raises(ModelError, match=r"'mine' .* is neither at .* nor in the catalogue: give"):
        rerun(record_of(run))
    edit(run, lambda r: r["model"].update(path=None))
    with pytest.raises(ModelError, match=r"'mine' .* is not in the catalogue: give its file"):
        rerun(record_of(run))
    path = save_model(tmp_path / "given", load_model("demo"))
    again = rerun(record_of(run), model=path)
    assert again.same is True
    assert any("not the one of the record" in each for each in again.differences)


def test_a_missing_image_is_asked_for(run):
    (run / "coating.tif").unlink()
    with pytest.raises(ImageError, match="say where it is"):
        rerun(record_of(run))


def test_tiles_that_were_left_out_without_a_note_are_told(run):
    edit(run, lambda r: r["tiles"].update(classified=3))
    assert any("instead of 3" in each for each in rerun(record_of(run)).differences)


def test_tiles_left_out_by_hand_are_left_out_again(run):
    classifier = load_model("demo")
    image = open_image(run / "coating.tif").with_pixel_size(25.0)
    grid = TileGrid(image.area, 64, 64)
    keep = np.random.default_rng(0).random(grid.tile_shape) < 0.5
    chosen = ChosenTiles(grid, keep)
    (class_map,) = classify_planes(image, classifier, ClassifyOptions(cache=False), chosen=chosen)
    write_outputs(class_map, image, run, "part")
    again = rerun(run / "part.summary.json")
    assert again.same is True
    assert again.differences == ()
    assert ((again.class_map.labels() > 0) == keep).all()


def test_a_map_carries_its_record(run):
    again = rerun(run / "coating.map.tif", image=run / "coating.tif")
    assert again.same is True


def test_a_model_in_a_folder_of_its_own_is_found_where_it_was(run, tmp_path):
    path = save_model(tmp_path / "own", replace(load_model("demo"), head=other_head()))
    classifier = load_model(path)
    image = open_image(run / "coating.tif").with_pixel_size(25.0)
    write_outputs(
        classify_image(image, classifier, TileGrid(image.area, 64, 64)), image, run, "own"
    )
    assert rerun(run / "own.summary.json").same is True
    record = read_record(run / "own.summary.json")
    assert record["model"]["path"] == str(path)
    assert record["model"]["file_sha256"] == file_sha256(path)
    path.unlink()
    with pytest.raises(ModelError, match="give its file"):
        rerun(run / "own.summary.json")


def other_head():
    head = load_model("demo").head
    return replace(head, bias=head.bias + np.float32(0.25))


@pytest.mark.parametrize("text", ["", "[]", '{"record": {"job": "teach"}}', "\x00"])
def test_something_else_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "x.summary.json"
    path.write_text(text)
    with pytest.raises(RecordError, match="is no record"):
        rerun(path)


def test_a_record_without_its_grid_is_refused(run):
    edit(run, lambda r: r.pop("grid"))
    with pytest.raises(RecordError, match="lacks its grid"):
        rerun(record_of(run))
    edit(run, lambda r: r.update(grid={"area": [1, 2]}))
    with pytest.raises(RecordError, match=r"grid\.area"):
        rerun(record_of(run))


def test_a_plane_that_the_image_does_not_have_is_told(run):
    edit(run, lambda r: r.update(plane=[4]))
    with pytest.raises(ImageError, match="no plane"):
        rerun(record_of(run))
