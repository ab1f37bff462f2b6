"""Every backend gives the features of the plain float32 network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_reference import reference, relative_error, small_resnet

from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.engine.devices import has_openvino
from napari_sem_classify.core.network.engine.torch_engine import TorchEngine

CPU = torch.device("cpu")
PX = 64
LIMITS = {"float32": 1e-4, "bfloat16": 2e-2}
INTENSITY = IntensityRange(20.0, 235.0)

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="needs the extra 'cpu' (OpenVINO)")
BACKENDS = ["torch", pytest.param("openvino", marks=needs_openvino)]


def make(backend: str, network, px: int = PX, dtype: str = "float32", stages=(2, 3, 4)):
    if backend == "torch":
        return TorchEngine(network, network_px=px, stages=stages, device=CPU, dtype=dtype)
    from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(network, network_px=px, stages=stages, dtype=dtype)


@pytest.fixture(scope="session")
def engines(network):
    """Engines of the small network by backend, made once."""
    made = {}

    def get(backend):
        if backend not in made:
            made[backend] = make(backend, network)
        return made[backend]

    return get


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("strides", ["v1", "v1.5"])
def test_features_equal_the_reference(backend, dtype, strides, noise_tiles):
    network = small_resnet(strides)
    engine = make(backend, network, dtype=dtype)
    features = engine.embed(noise_tiles, INTENSITY)
    assert features.dtype == np.float32
    assert features.shape == (len(noise_tiles), engine.feature_size)
    expected = reference(network, noise_tiles, INTENSITY, PX)
    assert relative_error(features, expected) <= LIMITS[dtype]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stages", [(4,), (1, 3)])
def test_the_stages_of_the_card_are_pooled(backend, stages, network, noise_tiles):
    features = make(backend, network, stages=stages).embed(noise_tiles, INTENSITY)
    expected = reference(network, noise_tiles, INTENSITY, PX, stages)
    assert relative_error(features, expected) <= 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tile_px", [16, 64, 100, 333])
def test_tiles_of_any_size_are_resized_alike(backend, tile_px, engines, network):
    tiles = np.random.default_rng(tile_px).integers(0, 256, (3, tile_px, tile_px), dtype=np.uint8)
    expected = reference(network, tiles, INTENSITY, PX)
    assert relative_error(engines(backend).embed(tiles, INTENSITY), expected) <= 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_sixteen_bit_tiles_are_stretched_in_their_own_units(backend, engines, network, noise_tiles):
    tiles = noise_tiles.astype(np.uint16) * 257
    intensity = IntensityRange(20.0 * 257, 235.0 * 257)
    expected = reference(network, noise_tiles, INTENSITY, PX)
    assert relative_error(engines(backend).embed(tiles, intensity), expected) <= 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_short_and_long_batches_give_the_same_rows(backend, engines, noise_tiles):
    engine = engines(backend)
    many = np.concatenate([noise_tiles] * (1 + 2 * engine.batch_size // len(noise_tiles)))
    long = engine.embed(many, INTENSITY)
    one = engine.embed(noise_tiles[:1], INTENSITY)
    assert len(many) > engine.batch_size
    assert one.shape == (1, engine.feature_size)
    same = long[: len(noise_tiles)]
    np.testing.assert_allclose(same, long[-len(noise_tiles) :], rtol=1e-4, atol=1e-4)
    assert relative_error(long[:1], one) <= 1e-5
    assert engine.embed(noise_tiles[:0], INTENSITY).shape == (0, engine.feature_size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_windows_into_a_read_only_image_are_taken_as_they_are(backend, engines, noise_tiles):
    image = np.concatenate(list(noise_tiles), axis=1)
    image.setflags(write=False)
    windows = np.lib.stride_tricks.sliding_window_view(image, (80, 80))[0, ::80]
    expected = engines(backend).embed(noise_tiles, INTENSITY)
    np.testing.assert_array_equal(engines(backend).embed(windows, INTENSITY), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_classes_do_not_depend_on_the_run_or_the_number_of_threads(
    backend, engines, noise_tiles
):
    engine = engines(backend)
    head = np.random.default_rng(0).normal(size=(engine.feature_size, 5))
    first = engine.embed(noise_tiles, INTENSITY)
    second = engine.embed(noise_tiles, INTENSITY)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        third = engine.embed(noise_tiles, INTENSITY)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal((first @ head).argmax(1), (third @ head).argmax(1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_thread_of_pythons_is_left_behind(backend, network, noise_tiles):
    import threading

    before = threading.active_count()
    for _ in range(3):
        make(backend, network).embed(noise_tiles, INTENSITY)
    assert threading.active_count() == before


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.int32, np.float32, bool])
def test_other_pixel_types_are_refused(backend, dtype, engines, noise_tiles):
    with pytest.raises(TypeError, match="uint8 or uint16"):
        engines(backend).embed(noise_tiles.astype(dtype), INTENSITY)


class SmallMemory(TorchEngine):
    """An engine on a device whose memory holds a few tiles."""

    holds = 3

    def run_network(self, prepared):
        if len(prepared) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().run_network(prepared)


def test_a_device_without_memory_for_the_batch_gets_half_of_it(network, noise_tiles):
    engine = SmallMemory(network, network_px=PX, device=CPU)
    features = engine.embed(noise_tiles, INTENSITY)
    assert engine.batch_size == 2
    assert relative_error(features, reference(network, noise_tiles, INTENSITY, PX)) <= 1e-4


def test_a_device_without_memory_for_one_tile_says_so(network, noise_tiles):
    engine = SmallMemory(network, network_px=PX, device=CPU)
    engine.holds = 0
    with pytest.raises(DeviceError, match="not enough free memory for one tile"):
        engine.embed(noise_tiles, INTENSITY)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_resnet50_equals_the_reference_on_real_tiles_up_to_the_images_border(
    backend, dtype, shared_data
):
    from PIL import Image

    from napari_sem_classify.core.network.backbone import load_backbone
    from napari_sem_classify.core.network.engine import make_engine

    tiles = []
    for path in sorted((shared_data / "nasa" / "images").glob("ebc__*"))[:3]:
        image = np.asarray(Image.open(path).convert("L"))
        tiles += [image[:160, :160], image[-160:, -160:], image[400:560, 400:560]]
    tiles = np.stack(tiles)
    intensity = IntensityRange(*np.percentile(tiles, [1, 99]))
    engine = make_engine(network_px=128, device="cpu", backend=backend, dtype=dtype)
    expected = reference(load_backbone(), tiles, intensity, 128)
    features = engine.embed(tiles, intensity)
    assert (engine.backend, engine.dtype) == (backend, dtype)
    assert np.linalg.norm(features - expected) <= LIMITS[dtype] * np.linalg.norm(expected)
    # A single tile of little contrast may lie somewhat further off in half precision.
    assert relative_error(features, expected) <= 2 * LIMITS[dtype]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tile_on_its_own_is_seen_alike_whatever_its_brightness_and_contrast(backend, engines):
    dull = np.random.default_rng(2).integers(100, 140, (3, 80, 80), dtype=np.uint8)
    bright = (40 + 3 * (dull - 100)).astype(np.uint8)
    evened = IntensityRange(0.0, 255.0, per_tile=True)
    engine = engines(backend)
    one, other = engine.embed(dull, evened), engine.embed(bright, evened)
    assert relative_error(one, other) <= 1e-3
    plain = IntensityRange(0.0, 255.0)
    assert relative_error(engine.embed(dull, plain), engine.embed(bright, plain)) > 0.05


@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_in_an_even_tile_is_not_blown_up(backend, engines):
    grey = np.full((2, 80, 80), 120, dtype=np.uint8)
    noisy = grey.copy()
    noisy[:, ::7, ::5] += 1
    evened = IntensityRange(0.0, 255.0, per_tile=True)
    engine = engines(backend)
    assert np.isfinite(engine.embed(grey, evened)).all()
    assert relative_error(engine.embed(noisy, evened), engine.embed(grey, evened)) < 0.1
