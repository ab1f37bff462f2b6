"""The demo and the samples in a real viewer."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
import tifffile
from bad_servers import SERVERS, answering
from PIL import Image

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sample.demo import run_demo
from napari_sem_classify.plugin.files import sample_data
from napari_sem_classify.plugin.files.demo_view import show_demo

if sys.platform.startswith("linux"):
    pytest.importorskip("pytest_xvfb", reason="a viewer without a display needs pytest-xvfb")


def test_the_samples_are_in_the_menu(npe2pm):
    with npe2pm.tmp_plugin(package="napari-sem-classify") as plugin:
        names = [each.display_name for each in plugin.manifest.contributions.sample_data]
    assert names == ["Coating cross-section (generated)", "Coating by NASA (1 MB download)"]


def test_the_generated_sample_is_calibrated_and_its_truth_is_hidden(make_napari_viewer):
    viewer = make_napari_viewer()
    image, truth = viewer.open_sample("napari-sem-classify", "cross_section")
    assert image.data.shape == truth.data.shape == (1536, 2048)
    for layer in (image, truth):
        assert tuple(layer.scale) == (25.0, 25.0)
        assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    assert image.visible
    assert not truth.visible
    assert list(truth.features["class"])[1:] == ["substrate", "coating", "oxide", "crack"]


def test_the_image_of_the_sample_is_the_active_layer(
    make_napari_viewer, qtbot, small_sample, monkeypatch
):
    monkeypatch.setattr(
        "napari_sem_classify.core.sample.cross_section.generate_cross_section",
        lambda **_settings: small_sample,
    )
    viewer = make_napari_viewer()
    image, _truth = viewer.open_sample("napari-sem-classify", "cross_section")
    qtbot.waitUntil(lambda: viewer.layers.selection.active is image)


def test_the_demo_shows_its_finished_map_over_the_image(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer(show=True)
    demo = run_demo()
    show_demo(viewer, demo)
    name = "coating-cross-section"
    assert {f"{name} · classes", f"{name} · confidence", f"{name} · truth", name} <= {
        layer.name for layer in viewer.layers
    }
    labels = viewer.layers[f"{name} · classes"]
    assert np.array_equal(labels.data, demo.class_map.labels())
    assert tuple(labels.scale) == (64 * 25.0, 64 * 25.0)
    assert demo.class_map.record["agreement"]["accuracy"] > 0.9
    picture = viewer.screenshot(path=tmp_path / "demo.png", canvas_only=False, flash=False)
    # The map tints the specimen: a grey canvas would mean that it is not drawn.
    colour = picture[..., :3].astype(int)
    assert ((colour.max(axis=-1) - colour.min(axis=-1)) > 40).mean() > 0.2


def test_ones_own_image_is_shown_whole_beside_the_form(
    make_napari_viewer, shared_data, monkeypatch, qtbot, run, tmp_path
):
    viewers = []

    def open_viewer(**options):
        viewers.append(make_napari_viewer(show=True, **options))
        return viewers[0]

    monkeypatch.setattr("napari.Viewer", open_viewer)
    monkeypatch.setattr("napari.run", lambda: None)  # the test, not the user, closes the window
    path = shared_data / "vendor" / "nexuslims" / "quanta_image.tif"
    done = run("demo", path)
    assert done.status == 0, done.err
    (viewer,) = viewers
    (layer,) = viewer.layers
    assert layer.name == "quanta_image"
    assert layer.scale == pytest.approx(441.942)
    assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    form = viewer.window.dock_widgets["SEM Classify"]
    qtbot.waitUntil(form.isVisible, timeout=60_000)

    def shown_whole():
        picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
        seen = np.argwhere(picture.any(axis=-1))
        rows, cols = seen.max(axis=0) - seen.min(axis=0) + 1
        assert cols < picture.shape[1]
        assert rows < picture.shape[0]
        assert cols > 0.8 * picture.shape[1]

    qtbot.waitUntil(shown_whole, timeout=60_000)
    viewer.screenshot(path=tmp_path / "own.png", canvas_only=False, flash=False)


def test_the_checksum_is_that_of_the_published_pixels(shared_data):
    path = shared_data / "nasa" / "images" / "ebc__010417_4_S2480009.png"
    pixels = np.asarray(Image.open(path))
    assert pixels.shape == sample_data.NASA_SHAPE
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == sample_data.NASA_PIXELS_SHA256


def test_a_downloaded_image_is_kept_and_taken_from_the_cache(shared_data, tmp_path, httpserver):
    path = shared_data / "nasa" / "images" / "ebc__010417_4_S2480009.png"
    source = tmp_path / "source.tif"
    tifffile.imwrite(source, np.asarray(Image.open(path)))
    url = httpserver(source.read_bytes())
    cache = tmp_path / "cache"
    first = sample_data.fetch_nasa_coating(url, cache)
    again = sample_data.fetch_nasa_coating("http://127.0.0.1:9/nothing", cache)
    assert first == again
    assert sample_data.checked_pixels(first).shape == (1024, 1024)
    assert [each.name for each in cache.iterdir()] == [first.name]


def test_a_download_of_something_else_is_refused_and_not_kept(tmp_path, httpserver):
    url = httpserver(b"<html>sign in to the network</html>")
    cache = tmp_path / "cache"
    with pytest.raises(ImageError, match="not the coating image"):
        sample_data.fetch_nasa_coating(url, cache)
    assert list(cache.iterdir()) == []


def test_a_sample_that_drips_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_data, "MOST_S", 0.3)
    with answering(SERVERS["drips"]) as address, pytest.raises(ImageError, match="did not come"):
        sample_data.fetch_nasa_coating(address, tmp_path)


def test_offline_there_is_one_sentence(tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(ImageError, match=r"check the internet connection.*\.$"):
        sample_data.fetch_nasa_coating("http://127.0.0.1:9/nothing.tif", cache)
    assert list(cache.iterdir()) == []
