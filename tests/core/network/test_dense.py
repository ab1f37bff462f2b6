"""Dense evaluation: the network looks at blocks, and tiles are averaged out of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from engine_reference import relative_error, small_resnet
from tiny_engine import brightness_classifier

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.driver import classify_image, classify_tiles
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.maps.class_map import tiles_to_cells
from napari_sem_classify.core.model.card import ClassInfo, ModelCard
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.plane_scores import scores_on
from napari_sem_classify.core.model.surroundings import Surroundings
from napari_sem_classify.core.network.dense import embed_densely
from napari_sem_classify.core.network.embedding_cache import EmbeddingCache
from napari_sem_classify.core.network.engine.devices import has_openvino
from napari_sem_classify.core.sem_io.array_image import image_from_array
from napari_sem_classify.core.tiles import dense_blocks
from napari_sem_classify.core.tiles.dense_blocks import DensePlan
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="needs the extra 'cpu' (OpenVINO)")
BACKENDS = ["torch", pytest.param("openvino", marks=needs_openvino)]
RANGE = IntensityRange(0.0, 255.0)


def make(backend, px=64, dtype="float32"):
    import torch

    if backend == "openvino":
        from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(small_resnet(), network_px=px, dtype=dtype)
    from napari_sem_classify.core.network.engine.torch_engine import TorchEngine

    return TorchEngine(small_resnet(), network_px=px, device=torch.device("cpu"), dtype=dtype)


@pytest.fixture(scope="module")
def engine():
    return make("torch")


def picture(rows, columns, seed=0):
    """Coarse and fine structure, so that neighbouring tiles differ."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(0, 180, (-(-rows // 24), -(-columns // 24))), np.ones((24, 24)))
    fine = rng.integers(1, 60, (rows, columns))
    return (coarse[:rows, :columns] + fine).astype(np.uint8)


def features(image, grid, engine, **options):
    """Features by tile, NaN for tiles that did not come; each came once at most."""
    found = np.full((grid.n_tiles, engine.feature_size), np.nan, np.float32)
    seen = []
    for some in embed_densely(PlaneTiles(image, grid, **options), engine, RANGE):
        found[some.index] = some.features
        seen += [*some.index.tolist(), *some.empty.tolist()]
    assert len(seen) == len(set(seen))
    return found


def classifier_of(engine, tile=64, dense=False):
    rng = np.random.default_rng(1)
    card = ModelCard(
        name="random",
        classes=(ClassInfo("one", "#e69f00"), ClassInfo("two", "#56b4e9")),
        tile_px=tile,
        network_px=engine.network_px,
        pixel_size_nm=None,
        backbone_id="small",
        backbone_sha256="0" * 64,
        dense=dense,
    )
    zeros = np.zeros(engine.feature_size, np.float32)
    weight = rng.normal(size=(2, engine.feature_size)).astype(np.float32) / 50
    return TileClassifier(card, Head(zeros, zeros + 1, weight, np.zeros(2, np.float32)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tile", [64, 40, 100])
def test_an_image_of_one_tile_is_seen_exactly_as_the_tile(backend, tile):
    engine = make(backend)
    image = image_from_array(picture(tile, tile), "one tile")
    dense = features(image, TileGrid(image.area, tile, tile), engine)
    assert relative_error(dense, engine.embed(image.data[None], RANGE)) <= 1e-4


@needs_openvino
def test_both_backends_see_the_same_in_blocks(engine):
    image = image_from_array(picture(150, 210), "two backends")
    grid = TileGrid(image.area, 64, 32)
    assert (
        relative_error(features(image, grid, make("openvino")), features(image, grid, engine))
        <= 1e-4
    )


@pytest.mark.parametrize(("tile", "stride"), [(64, 32), (40, 20), (100, 37)])
def test_where_blocks_and_strips_meet_cannot_be_seen(tile, stride, engine, monkeypatch):
    image = image_from_array(picture(290, 410), "blocks")
    grid = TileGrid(Area(3, 290, 5, 410), tile, stride)
    whole = features(image, grid, engine)
    monkeypatch.setattr(dense_blocks, "BLOCK_PX", 128)
    in_blocks = features(image, grid, engine)
    monkeypatch.setattr(dense_blocks, "CARRY_BYTES", 1)
    in_strips = features(image, grid, engine)
    assert not np.isnan(whole).any()
    assert relative_error(in_blocks, whole) <= 1e-4
    assert relative_error(in_strips, whole) <= 1e-4


def test_stacks_wide_types_and_missing_data_are_taken_as_tile_by_tile(engine):
    plane = picture(160, 256).astype(np.float32)
    plane[:, 128:] = np.nan
    image = image_from_array(np.stack([np.zeros_like(plane), plane]), "stack")
    grid = TileGrid(image.area, 64, 32)
    found = features(image, grid, engine, plane=(1,)).reshape(*grid.tile_shape, -1)
    seen = ~np.isnan(found[..., 0])
    assert seen[:, :4].all()
    assert not seen[:, 4:].any()
    plain = image_from_array(np.nan_to_num(plane).astype(np.uint8), "bytes")
    same = features(plain, grid, engine).reshape(found.shape)
    assert relative_error(found[seen], same[seen]) <= 1e-3


def test_tiles_that_are_not_wanted_do_not_come(engine, monkeypatch):
    monkeypatch.setattr(dense_blocks, "BLOCK_PX", 64)
    image = image_from_array(picture(200, 400), "keep")
    grid = TileGrid(image.area, 64, 32)
    keep = np.zeros(grid.tile_shape, np.bool_)
    keep[1, 2] = keep[3, 9] = True
    found = features(image, grid, engine, keep=keep)
    assert (~np.isnan(found[:, 0])).tolist() == keep.ravel().tolist()
    everything = features(image, grid, engine)
    assert relative_error(found[keep.ravel()], everything[keep.ravel()]) <= 1e-4


def test_memory_depends_on_the_block_and_not_on_the_image():
    side = 300_000
    image = image_from_array(np.broadcast_to(np.uint8(7), (side, side)), "huge")
    for tile, network_px in ((224, 224), (64, 224), (2000, 128)):
        plan = DensePlan(image, TileGrid(image.area, tile, tile // 4), network_px, 3584)
        rows, columns, first, last = plan.strips()[0]
        for band in (*rows, *columns):
            assert band.span.stop - band.span.start <= dense_blocks.BLOCK_PX + 2 * 96
            assert band.span.last - band.span.first <= 8192
        pending = max(band.end - band.done for band in rows)
        assert pending * (last - first) * 3584 * 4 <= 2 * dense_blocks.CARRY_BYTES


def test_a_model_that_evens_out_each_tile_is_refused_in_a_sentence(engine):
    image = image_from_array(picture(100, 100), "refused")
    grid = TileGrid(image.area, 64, 32)
    with pytest.raises(GridError, match="classify tile by tile"):
        next(embed_densely(PlaneTiles(image, grid), engine, IntensityRange(0.0, 255.0, True)))


def test_the_stride_of_a_dense_map_is_what_it_gives_at_no_cost():
    image = image_from_array(picture(300, 300), "grid")
    card = brightness_classifier(tile_px=64).card  # 32 px for the network
    assert ClassifyOptions(dense=True).grid_for(image, card).grid.stride == 64
    assert ClassifyOptions(stride_px=10, dense=True).grid_for(image, card).grid.stride == 10


@pytest.mark.parametrize("taught_dense", [False, True])
def test_the_record_names_the_approximation_and_its_agreement(taught_dense, engine):
    image = image_from_array(picture(200, 260), "record")
    classifier = classifier_of(engine, dense=taught_dense)
    grid = TileGrid(image.area, 64, 32)
    class_map = classify_tiles(PlaneTiles(image, grid), classifier, engine, dense=True)
    told = class_map.record["dense"]
    assert told["compared_tiles"] == 30
    assert 0 <= told["same_class"] <= 1
    assert f"{told['same_class']:.0%} of 30 tiles" in told["approximation"]
    assert told["taught_dense"] is taught_dense
    assert "dense" not in classify_image(image, classifier, grid, engine=engine).record


def test_a_dense_map_has_the_surroundings_of_its_tiles_too(engine):
    image = image_from_array(picture(200, 260), "around")
    alone, grid = classifier_of(engine), TileGrid(image.area, 64, 32)
    around = Surroundings(context=True, alignment=0.5)
    wide = [np.tile(each, 2) for each in (alone.head.mean, alone.head.scale)]
    weight = np.concatenate([alone.head.weight, -alone.head.weight / 2], axis=1)
    head = Head(*wide, weight, alone.head.bias, alone.head.mean)
    classifier = replace(alone, card=replace(alone.card, surroundings=around), head=head)
    tiles = PlaneTiles(image, grid)
    found = classify_tiles(tiles, classifier, engine, dense=True)
    expected = scores_on(classifier, grid)
    seen = list(embed_densely(tiles, engine, tiles.measure(classifier.card.intensity)))
    for some in reversed(seen):
        expected.add(some.index, some.features)
    cells = tiles_to_cells(grid, expected.probabilities())
    np.testing.assert_allclose(found.probabilities, cells, atol=1e-5)
    assert found.record["dense"]["compared_tiles"] == 30


def test_a_dense_map_that_equals_the_tiles_agrees_with_all_of_them(engine):
    image = image_from_array(picture(64, 64), "one tile")
    grid = TileGrid(image.area, 64, 64)
    told = classify_tiles(PlaneTiles(image, grid), classifier_of(engine), engine, dense=True).record
    assert told["dense"]["same_class"] == 1.0
    assert told["dense"]["largest_difference"] <= 1e-3


def test_the_cache_keeps_dense_features_apart_from_those_of_tiles(engine, tmp_path):
    image = image_from_array(picture(128, 128), "cached")
    grid, classifier = TileGrid(image.area, 64, 32), classifier_of(engine)

    def run(dense):
        return classify_tiles(
            PlaneTiles(image, grid), classifier, engine, dense=dense, cache=EmbeddingCache(tmp_path)
        )

    first, single, again = run(True), run(False), run(True)
    assert not single.record["features_from_cache"]
    assert again.record["features_from_cache"]
    np.testing.assert_allclose(again.probabilities, first.probabilities, atol=5e-3)


def test_a_batch_writes_the_approximation_into_each_summary(engine, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", picture(150, 150))
    report = classify_many(
        [tmp_path / "a.tif"],
        classifier_of(engine),
        BatchTarget(tmp_path / "out"),
        ClassifyOptions(dense=True, cache=False),
        engine=engine,
    )
    (outcome,) = report.done
    assert outcome.planes[0]["stride_px"] == 32
    written = json.loads((tmp_path / "out" / "a.summary.json").read_text(encoding="utf-8"))
    assert outcome.planes[0]["approximation"] == written["record"]["dense"]["approximation"]
