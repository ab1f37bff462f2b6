"""All blocks of a huge image are made in one arithmetic, however often its run was stopped."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_engine import brightness_classifier

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.cluster import huge
from napari_sem_classify.core.cluster.distributed import ClusterArithmetic, _ClusterRun
from napari_sem_classify.core.cluster.worker import EngineFacts, WorkerModel
from napari_sem_classify.core.common.output_folder import output_folder

zarr = pytest.importorskip("zarr")

IN_8_BITS = {"ranges": {"2.0": 1.5}, "ranges_sha256": "a" * 64, "same_class": 1.0}
OTHERS = {"ranges": {"2.0": 3.5}, "ranges_sha256": "b" * 64, "same_class": 1.0}
INT8 = EngineFacts("openvino", "CPU", "int8")


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(huge, "HUGE_BYTES", 0)
    monkeypatch.setattr(huge, "BLOCK_TILES", 8)
    path = tmp_path / "field.zarr"
    array = zarr.create_array(str(path), shape=(400, 400), chunks=(200, 200), dtype="uint8")
    array[:] = np.random.default_rng(0).integers(1, 250, (400, 400), np.uint8)
    return path


class Client:
    """Notes what a cluster would be given."""

    def __init__(self):
        self.models = []

    def submit(self, _call, model, *others, **options):
        self.models.append(model.key)
        return Future(len(self.models))


class Future:
    def __init__(self, number):
        self.key = str(number)

    def add_done_callback(self, call):
        pass


def planned(path, tmp_path, in_8_bits, has_8_bits=True):
    """The image as a run lays it out, and the arithmetic that each block is sent with."""
    options, target = ClassifyOptions(tile_px=16, cache=False), BatchTarget(tmp_path / "out")
    arithmetic = ClusterArithmetic(
        lambda some: WorkerModel("usual" if some is None else some["ranges_sha256"], None),
        in_8_bits,
        has_8_bits,
    )
    client = Client()
    with output_folder(target.folder) as folder:
        classifier = brightness_classifier(tile_px=16)
        run = _ClusterRun(client, arithmetic, classifier, target, options, folder, tmp_path)
        run.plan([path], None)
    return run.images[0].huge, client.models


def with_one_block_done(path, tmp_path, in_8_bits, engine):
    first, models = planned(path, tmp_path, in_8_bits)
    block = min(first.waiting, key=lambda one: (one.top, one.left))
    shape = (block.bottom - block.top, block.right - block.left, first.store.read(()).shape[-1])
    first.take(block, np.zeros(shape, np.float32), engine)
    return block, len(models)


@pytest.mark.parametrize("now", [None, OTHERS])
def test_blocks_that_are_left_follow_in_the_8_bits_of_those_that_are_done(path, tmp_path, now):
    block, n_blocks = with_one_block_done(path, tmp_path, IN_8_BITS, INT8)
    again, models = planned(path, tmp_path, now)
    assert models == [IN_8_BITS["ranges_sha256"]] * (n_blocks - 1)
    assert block not in again.waiting
    record = huge._together(again.engines, again.in_8_bits)
    assert (record.dtype, record.checked) == ("int8", IN_8_BITS)


def test_blocks_that_are_left_follow_in_full_precision(path, tmp_path):
    usual = EngineFacts("torch", "CPU", "float32")
    _, n_blocks = with_one_block_done(path, tmp_path, None, usual)
    again, models = planned(path, tmp_path, IN_8_BITS)
    assert models == ["usual"] * (n_blocks - 1)
    assert huge._together(again.engines, again.in_8_bits) == usual


def test_all_is_done_anew_where_the_arithmetic_is_not_there_any_more(path, tmp_path):
    _, n_blocks = with_one_block_done(path, tmp_path, IN_8_BITS, INT8)
    _, models = planned(path, tmp_path, None, has_8_bits=False)
    assert models == ["usual"] * n_blocks


@pytest.mark.parametrize(
    "made", [{}, {"engines": []}, {"in_8_bits": {"ranges": 3}, "engines": []}, {"in_8_bits": None}]
)
def test_all_is_done_anew_where_it_is_not_known(path, tmp_path, made):
    _, n_blocks = with_one_block_done(path, tmp_path, IN_8_BITS, INT8)
    store = planned(path, tmp_path, IN_8_BITS)[0].store
    store._array.attrs.update({"made": made})
    assert len(planned(path, tmp_path, OTHERS)[1]) == n_blocks


def test_a_worker_that_cannot_go_on_in_8_bits_says_so(monkeypatch, tmp_path):
    from napari_sem_classify.core.classify import int8
    from napari_sem_classify.core.cluster.worker import load_from_file
    from napari_sem_classify.core.common.errors import DeviceError
    from napari_sem_classify.core.model import catalogue

    monkeypatch.setattr(int8, "has_openvino", lambda: False)
    monkeypatch.setattr(catalogue, "load_model", lambda _: brightness_classifier(tile_px=16))
    with pytest.raises(DeviceError, match="cannot go on in 8-bit arithmetic"):
        load_from_file(tmp_path / "model.safetensors", None, "cpu", "auto", IN_8_BITS)
