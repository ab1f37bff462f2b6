"""8-bit arithmetic is measured on the user's tiles, and refused where classes change."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from engine_reference import relative_error, small_resnet
from tiny_backbone import known_backbone
from typer.testing import CliRunner

from napari_sem_classify.core.classify.driver import classify_image, classify_tiles
from napari_sem_classify.core.classify.engine_choice import engine_for_images
from napari_sem_classify.core.classify.int8_memory import int8_sentence
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.card import ClassInfo, ModelCard
from napari_sem_classify.core.model.engines import engine_for
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.engine.devices import has_openvino
from napari_sem_classify.core.sem_io.array_image import image_from_array
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

pytestmark = pytest.mark.skipif(not has_openvino(), reason="needs the extra 'cpu' (OpenVINO)")
PX = 64


@pytest.fixture(autouse=True, scope="module")
def small_network(tmp_path_factory):
    """ResNet50 with its 100 MB is not needed to see how 8-bit arithmetic is checked."""
    folder = tmp_path_factory.mktemp("weights")
    with known_backbone(folder, "small", small_resnet, (256, 512, 1024, 2048), fill=as_it_is):
        yield


def as_it_is(network):
    return network


def picture(side=640):
    """Dark tiles of fine structure, bright ones of coarse structure, in turns."""
    rng = np.random.default_rng(3)
    pixels = np.empty((side, side))
    for top in range(0, side, PX):
        for left in range(0, side, PX):
            bright = (top + left) // PX % 2
            grain = 16 if bright else 2
            noise = rng.integers(0, 100, (PX // grain, PX // grain))
            tile = np.kron(noise, np.ones((grain, grain))) + (130 if bright else 10)
            pixels[top : top + PX, left : left + PX] = tile
    return image_from_array(pixels.astype(np.uint8), "in turns")


def features(image, grid, engine):
    from napari_sem_classify.core.image.intensity import IntensityRecipe
    from napari_sem_classify.core.network.features import embed_image

    return embed_image(PlaneTiles(image, grid), engine, IntensityRecipe())


def classifier_with(weight, middle):
    card = ModelCard(
        name="in turns",
        classes=(ClassInfo("dark", "#e69f00"), ClassInfo("bright", "#56b4e9")),
        tile_px=PX,
        network_px=PX,
        pixel_size_nm=None,
        backbone_id="small",
        backbone_sha256="0" * 64,
    )
    two = np.stack([-weight, weight]).astype(np.float32)
    head = Head(middle, np.ones_like(middle), two, np.zeros(2, np.float32))
    return TileClassifier(card, head)


@pytest.fixture(scope="module")
def seen():
    """The picture, its grid, and the features in float32."""
    from napari_sem_classify.core.network.engine.torch_engine import TorchEngine

    exact = TorchEngine(small_resnet(), network_px=PX, device=torch.device("cpu"))
    image = picture()
    grid = TileGrid(image.area, PX, PX)
    return image, grid, features(image, grid, exact)


@pytest.fixture(scope="module")
def sure(seen):
    """A model for which dark and bright are far apart."""
    _, grid, found = seen
    bright = np.indices(grid.tile_shape).sum(axis=0).ravel() % 2 == 1
    dark_mean, bright_mean = found[~bright].mean(axis=0), found[bright].mean(axis=0)
    return classifier_with((bright_mean - dark_mean) / 100, (bright_mean + dark_mean) / 2)


def hair_splitter(grid, found):
    """A model that cuts among tiles of one kind, where most of them are: a hair decides."""
    weight = np.random.default_rng(0).normal(size=found.shape[1])
    score = found @ weight
    dark = score[np.indices(grid.tile_shape).sum(axis=0).ravel() % 2 == 0]
    middle = (found[0] + weight * (np.median(dark) - score[0]) / (weight @ weight)).astype("f4")
    return classifier_with(weight, middle)


def clear_memory():
    from napari_sem_classify.core.classify import int8_memory

    shutil.rmtree(int8_memory._file("x").parent, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_known():
    clear_memory()
    EmbeddingCache().clear()


def test_it_is_given_where_the_classes_stay_and_the_record_says_how_that_is_known(seen, sure):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, truth = seen
    engine = int8_engine(sure, [PlaneTiles(image, grid)])
    assert engine.dtype == "int8"
    error = relative_error(features(image, grid, engine), truth)
    assert 1e-4 < error < 0.2  # rounded, and not by more than eight bits ask
    record = classify_image(image, sure, grid, engine=engine).record
    assert record["engine"]["dtype"] == "int8"
    checked = record["engine"]["checked"]
    assert checked["same_class"] >= 0.99
    assert checked["checked_tiles"] + checked["calibration_tiles"] == grid.n_tiles
    assert checked["images"] == ["in turns"]


@pytest.fixture
def nothing_saves(monkeypatch):
    """Close calls are not those that change."""
    from napari_sem_classify.core.classify import int8

    monkeypatch.setattr(int8, "limit_for", lambda *_: None)


def test_it_is_refused_in_a_sentence_where_tiles_change_class(seen, nothing_saves):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, found = seen
    with pytest.raises(DeviceError, match=r"only \d\d\.\d% of \d+ tiles keep the class"):
        int8_engine(hair_splitter(grid, found), [PlaneTiles(image, grid)])


def test_a_block_is_looked_at_in_eight_bits_too(seen, sure):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, _ = seen
    engine = int8_engine(sure, [PlaneTiles(image, grid)])
    found = classify_tiles(PlaneTiles(image, grid), sure, engine, dense=True)
    assert found.record["dense"]["same_class"] > 0.5


def test_it_needs_the_cpu(sure, tmp_path):
    with pytest.raises(DeviceError, match="OpenVINO on the CPU alone"):
        engine_for_images(sure, [tmp_path], ClassifyOptions(backend="torch", dtype="int8"))


@pytest.fixture
def gain(monkeypatch):
    """How much faster 8 bits are here; every run has tiles enough to try them."""
    from napari_sem_classify.core.classify import engine_choice
    from napari_sem_classify.core.network.engine import trial

    cost = dict.fromkeys(engine_choice.COST_TILES, 50)
    monkeypatch.setattr(engine_choice, "COST_TILES", cost)
    monkeypatch.setattr(engine_choice, "COST_TILES_KNOWN", cost)
    told = {"gain": 2.0}
    monkeypatch.setattr(trial, "times_as_fast", lambda *_: told["gain"])
    monkeypatch.setattr(trial, "known_gain", lambda *_, default: default)
    return told


def chosen_for(model, image, **options):
    given = ClassifyOptions(device="cpu", **{"cache": False, **options})
    return engine_for_images(model, [image], given)


def test_a_long_run_takes_it_by_itself_only_where_it_is_clearly_faster(seen, sure, gain):
    assert chosen_for(sure, seen[0]).dtype == "int8"
    gain["gain"] = 1.2
    assert chosen_for(sure, seen[0]).dtype != "int8"


def test_a_run_that_is_over_before_the_check_would_be_stays_as_it_is(seen, sure, gain, monkeypatch):
    from napari_sem_classify.core.classify import engine_choice

    many = dict.fromkeys(engine_choice.COST_TILES, seen[1].n_tiles)
    monkeypatch.setattr(engine_choice, "COST_TILES", many)
    monkeypatch.setattr(engine_choice, "COST_TILES_KNOWN", many)
    assert chosen_for(sure, seen[0]).dtype != "int8"


def test_tiles_that_are_known_in_full_precision_are_not_looked_at_again(seen, sure, gain):
    image, grid, _ = seen
    tiles = PlaneTiles(image, grid)
    classify_tiles(tiles, sure, engine_for(sure, device="cpu"), cache=EmbeddingCache())
    again = chosen_for(sure, image, cache=True)
    assert again.dtype != "int8"
    assert classify_tiles(tiles, sure, again, cache=EmbeddingCache()).record["features_from_cache"]


def test_a_second_run_takes_what_is_known_and_looks_at_a_few_tiles(seen, sure, monkeypatch):
    from napari_sem_classify.core.classify import int8

    image, grid, _ = seen
    first = int8.int8_engine(sure, [PlaneTiles(image, grid)])
    monkeypatch.setattr(int8, "activation_ranges", None)  # not measured again
    second = int8.int8_engine(sure, [PlaneTiles(image, grid)])
    assert second.checked["ranges"] == first.checked["ranges"]
    assert second.checked["checked_tiles"] == first.checked["checked_tiles"]
    assert second.checked["looked_again"]["checked_tiles"] == int8.LOOKED_AGAIN_TILES
    assert "of an earlier run" in int8_sentence(second.checked)


def test_another_head_on_the_same_network_shares_ranges_and_features(seen, sure, monkeypatch):
    from napari_sem_classify.core.classify import int8

    image, grid, _ = seen
    tiles = PlaneTiles(image, grid)
    classify_tiles(tiles, sure, int8.int8_engine(sure, [tiles]), cache=EmbeddingCache())
    monkeypatch.setattr(int8, "activation_ranges", None)
    other = replace(sure, head=replace(sure.head, weight=sure.head.weight * 2))
    engine = int8.int8_engine(other, [tiles])
    assert engine.checked["checked_tiles"] > int8.LOOKED_AGAIN_TILES  # its own classes
    assert classify_tiles(tiles, other, engine, cache=EmbeddingCache()).record[
        "features_from_cache"
    ]


def test_known_ranges_that_are_too_narrow_for_new_images_are_measured_anew(seen, sure):
    from napari_sem_classify.core.classify import int8
    from napari_sem_classify.core.classify.int8_memory import recall, remember
    from napari_sem_classify.core.model.engines import network_of

    image, grid, _ = seen
    int8.int8_engine(sure, [PlaneTiles(image, grid)])
    known = recall(network_of(sure))
    narrow = {name: top / 20 for name, top in known.ranges.items()}
    remember(network_of(sure), replace(known, ranges=narrow))
    assert int8.int8_engine(sure, [PlaneTiles(image, grid)]).checked["ranges"] == known.ranges


def test_a_refusal_is_remembered_so_that_the_next_run_starts_at_once(
    seen, gain, nothing_saves, monkeypatch
):
    from napari_sem_classify.core.classify import int8

    image, grid, found = seen
    doubtful = hair_splitter(grid, found)
    assert chosen_for(doubtful, image).dtype != "int8"
    monkeypatch.setattr(int8, "int8_engine", None)  # not asked again
    assert chosen_for(doubtful, image).dtype != "int8"


def test_a_refusal_leaves_what_is_known_of_other_models(seen, sure, nothing_saves):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, found = seen
    first = int8_engine(sure, [PlaneTiles(image, grid)])
    readings = []
    with pytest.raises(DeviceError):
        int8_engine(hair_splitter(grid, found), [PlaneTiles(image, grid)], job=Job(readings.append))
    assert all(each.done <= each.total for each in readings)
    again = int8_engine(sure, [PlaneTiles(image, grid)])
    assert again.checked["ranges"] == first.checked["ranges"]
    assert "looked_again" in again.checked


def test_a_damaged_memory_is_measured_anew(seen, sure):
    from napari_sem_classify.core.classify import int8_memory
    from napari_sem_classify.core.classify.int8 import int8_engine
    from napari_sem_classify.core.model.engines import network_of

    image, grid, _ = seen
    int8_engine(sure, [PlaneTiles(image, grid)])
    file = int8_memory._file(network_of(sure))
    for text in ("{", "[]", '{"format": 1, "ranges": {"2.0": "x"}}'):
        file.write_text(text)
        assert int8_memory.recall(network_of(sure)) is None
    assert int8_engine(sure, [PlaneTiles(image, grid)]).dtype == "int8"


def test_where_too_many_classes_change_the_second_stage_is_left_as_it_is(seen, sure, monkeypatch):
    from napari_sem_classify.core.classify import int8

    image, grid, truth = seen
    whole = int8.int8_engine(sure, [PlaneTiles(image, grid)])
    original = int8._against

    def worse(classifier, engine, samples, exact, first_stage, images, reporter):
        check = original(classifier, engine, samples, exact, first_stage, images, reporter)
        return replace(check, same_class=0.98) if first_stage == 2 else check

    monkeypatch.setattr(int8, "_against", worse)
    clear_memory()
    mixed = int8.int8_engine(sure, [PlaneTiles(image, grid)])
    assert mixed.checked["first_stage"] == 3
    assert all(name.startswith(("3.", "4.")) for name in mixed.checked["ranges"])
    errors = [relative_error(features(image, grid, each), truth) for each in (whole, mixed)]
    assert errors[1] < errors[0]


@pytest.fixture
def hairs(seen):
    """A model of which 8 bits alone change too many tiles, in whatever layers."""
    _, grid, found = seen
    return hair_splitter(grid, found)


@pytest.fixture
def saved(seen, hairs):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, _ = seen
    return int8_engine(hairs, [PlaneTiles(image, grid)])


def test_close_calls_are_looked_at_in_full_precision_and_the_others_are_not(saved, seen):
    image, grid, truth = seen
    close = saved.checked["close_calls"]
    assert 0.0 < close["share"] <= 0.15
    told = int8_sentence(saved.checked)
    assert told.startswith(f"8 bit, {close['share']:.0%} close calls in full precision, agrees")
    assert saved.checked["same_class"] >= 0.99
    found = features(image, grid, saved)
    again = np.linalg.norm(found - truth, axis=1) < 1e-4 * np.linalg.norm(truth, axis=1)
    assert 0 < again.sum() < len(again) / 3


def test_the_next_run_and_a_rerun_look_again_too(saved, seen, hairs):
    from napari_sem_classify.core.classify.int8 import int8_engine
    from napari_sem_classify.core.classify.rerun_inputs import engine_like

    image, grid, _ = seen
    record = classify_image(image, hairs, grid, engine=saved).record
    second = int8_engine(hairs, [PlaneTiles(image, grid)])
    assert "looked_again" in second.checked
    engine, differs = engine_like(json.loads(json.dumps(record)), hairs)
    assert differs == []
    for each in (second, engine):
        assert each.checked["ranges_sha256"] == saved.checked["ranges_sha256"]
        again = classify_image(image, hairs, grid, engine=each).record
        assert again["map_sha256"] == record["map_sha256"]


def test_a_record_is_repeated_in_the_same_8_bits(seen, sure, tmp_path):
    from napari_sem_classify.core.classify.int8 import int8_engine
    from napari_sem_classify.core.classify.rerun_inputs import engine_like

    image, grid, _ = seen
    record = classify_image(
        image, sure, grid, engine=int8_engine(sure, [PlaneTiles(image, grid)])
    ).record
    clear_memory()
    engine, differs = engine_like(json.loads(json.dumps(record)), sure)
    assert (engine.dtype, differs) == ("int8", [])
    again = classify_image(image, sure, grid, engine=engine).record
    assert again["map_sha256"] == record["map_sha256"]
    record["engine"]["checked"]["ranges"] = {"2.0": 1.0}
    engine, differs = engine_like(record, sure)
    assert engine.dtype != "int8"
    assert any("int8" in each for each in differs)


def test_ranges_reach_the_largest_value_of_each_layer():
    from napari_sem_classify.core.network.engine.network import GreyTrunk, network_input
    from napari_sem_classify.core.network.engine.prepare import stretch_and_resize
    from napari_sem_classify.core.network.engine.quantise import activation_ranges

    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, PX, PX), np.uint8))
    x = network_input(stretch_and_resize(tiles, IntensityRange(0, 255), PX), torch.float32)
    trunk = GreyTrunk(small_resnet())
    maps = trunk.maps(x)
    ranges = activation_ranges(trunk, [x[:2], x[2:]])
    assert ranges["3.0"] == pytest.approx(float(maps[0].max()))  # what enters stage 3
    assert ranges["4.0"] == pytest.approx(float(maps[1].max()))
    assert set(ranges) == {f"{stage}.0{place}" for stage in (2, 3, 4) for place in ("", ".1", ".2")}


def test_one_worker_chooses_and_all_compute_alike(seen, sure, gain, tmp_path):
    import tifffile

    from napari_sem_classify.core.cluster.worker import (
        WorkerModel,
        arithmetic_for,
        load_from_file,
    )
    from napari_sem_classify.core.model.file import save_model

    image, grid, _ = seen
    path = tmp_path / "in turns.tif"
    tifffile.imwrite(path, image.data)
    file = save_model(tmp_path / "model.safetensors", sure)
    model = WorkerModel("sure", partial(load_from_file, file, None, "cpu", "auto"))
    chosen = arithmetic_for(model, [path], ClassifyOptions(device="cpu", cache=False))
    clear_memory()
    _, engine = load_from_file(file, None, "cpu", "auto", json.loads(json.dumps(chosen)))
    local = chosen_for(sure, image)
    assert engine.dtype == "int8"
    hashes = {
        classify_image(image, sure, grid, engine=each).record["map_sha256"]
        for each in (engine, local)
    }
    assert len(hashes) == 1


def test_the_command_line_tells_how_far_8_bits_agree(seen, sure, gain, tmp_path):
    import tifffile

    from napari_sem_classify.cli import app
    from napari_sem_classify.core.model.file import save_model

    tifffile.imwrite(tmp_path / "x.tif", seen[0].data)
    file = save_model(tmp_path / "model.safetensors", sure)
    arguments = ["classify", str(tmp_path / "x.tif"), "--model", str(file), "--device", "cpu"]
    told = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert "8 bit, agrees with full precision on 100.0% of" in told.stdout
    again = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out2"), "--json"])
    found = json.loads(again.stdout)
    assert "of an earlier run" in found["arithmetic"]
    assert found["images"][0]["planes"][0]["arithmetic"] == found["arithmetic"]
    assert found["images"][0]["planes"][0]["features_from_cache"]


def test_a_cluster_refuses_to_be_told_the_arithmetic(tmp_path):
    import tifffile

    from napari_sem_classify.cli import app

    tifffile.imwrite(tmp_path / "x.tif", picture(64).data)
    arguments = ["classify", str(tmp_path / "x.tif"), "--model", "demo", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*arguments, "--scheduler", "tcp://x:1", "--dtype", "int8"])
    assert result.exit_code == 2
    assert "workers choose the arithmetic" in result.stderr
