"""8-bit arithmetic is measured on the user's tiles, and refused where classes change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_reference import relative_error, small_resnet
from tiny_backbone import known_backbone
from typer.testing import CliRunner

from napari_sem_classify.core.classify.driver import classify_image, classify_tiles
from napari_sem_classify.core.classify.engine_choice import engine_for_images
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.card import ClassInfo, ModelCard
from napari_sem_classify.core.model.head import Head, TileClassifier
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


def test_it_is_given_where_the_classes_stay_and_the_record_says_how_that_is_known(seen, sure):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, truth = seen
    engine = int8_engine(sure, [(image, grid)])
    assert engine.dtype == "int8"
    error = relative_error(features(image, grid, engine), truth)
    assert 1e-4 < error < 0.2  # rounded, and not by more than eight bits ask
    record = classify_image(image, sure, grid, engine=engine).record
    assert record["engine"]["dtype"] == "int8"
    checked = record["engine"]["checked"]
    assert checked["same_class"] >= 0.99
    assert checked["checked_tiles"] + checked["calibration_tiles"] == grid.n_tiles
    assert checked["images"] == ["in turns"]


def test_it_is_refused_in_a_sentence_where_tiles_change_class(seen):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, found = seen
    weight = np.random.default_rng(0).normal(size=found.shape[1])
    score = found @ weight
    # Among tiles of one kind, cut where most of them are: a hair decides.
    dark = score[np.indices(grid.tile_shape).sum(axis=0).ravel() % 2 == 0]
    middle = (found[0] + weight * (np.median(dark) - score[0]) / (weight @ weight)).astype("f4")
    with pytest.raises(DeviceError, match=r"only \d\d\.\d% of \d+ tiles keep the class"):
        int8_engine(classifier_with(weight, middle), [(image, grid)])


def test_a_block_is_looked_at_in_eight_bits_too(seen, sure):
    from napari_sem_classify.core.classify.int8 import int8_engine

    image, grid, _ = seen
    engine = int8_engine(sure, [(image, grid)])
    found = classify_tiles(PlaneTiles(image, grid), sure, engine, dense=True)
    assert found.record["dense"]["same_class"] > 0.5


def test_it_needs_the_cpu(sure, tmp_path):
    with pytest.raises(DeviceError, match="OpenVINO on the CPU alone"):
        engine_for_images(sure, [tmp_path], ClassifyOptions(backend="torch", dtype="int8"))


def test_a_large_batch_takes_it_by_itself_only_where_it_is_faster(
    seen, sure, tmp_path, monkeypatch
):
    import tifffile

    from napari_sem_classify.core.classify import engine_choice

    path = tmp_path / "large.tif"
    tifffile.imwrite(path, seen[0].data)
    rates = {"int8": 2.0}
    monkeypatch.setattr(
        "napari_sem_classify.core.network.engine.trial.tiles_per_s",
        lambda engine: rates.get(engine.dtype, 1.0),
    )

    def chosen():
        return engine_for_images(sure, [path], ClassifyOptions(device="cpu")).dtype

    assert chosen() != "int8"  # too few tiles for the check to pay
    monkeypatch.setattr(engine_choice, "WORTH_IT_TILES", 50)
    assert chosen() == "int8"
    rates["int8"] = 0.5
    assert chosen() != "int8"


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


def test_a_cluster_refuses_to_be_told_the_arithmetic(tmp_path):
    import tifffile

    from napari_sem_classify.cli import app

    tifffile.imwrite(tmp_path / "x.tif", picture(64).data)
    arguments = ["classify", str(tmp_path / "x.tif"), "--model", "demo", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*arguments, "--scheduler", "tcp://x:1", "--dtype", "int8"])
    assert result.exit_code == 2
    assert "workers choose the arithmetic" in result.stderr
