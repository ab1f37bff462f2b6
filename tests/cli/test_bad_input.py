"""Bad input: one clear sentence, status 1, no traceback, nothing half-written."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_files import files_in

from napari_sem_classify.core.common.output_folder import output_folder
from napari_sem_classify.core.model.catalogue import find_model

DEMO = ("--model", "demo", "--tile", "64", "--device", "cpu")


@pytest.fixture
def refused(run):
    """Run a command that must fail with one sentence, and give the sentence."""

    def call(*arguments: object) -> str:
        result = run(*arguments)
        assert result.status == 1, (result.out, result.err)
        assert "Traceback" not in result.err + result.out
        lines = [line for line in result.err.splitlines() if line.strip()]
        assert len(lines) == 1, result.err
        assert lines[0].endswith(".")
        assert "unexpected" not in lines[0]
        return lines[0]

    return call


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def assert_nothing_written(out: Path) -> None:
    assert not out.exists() or not files_in(out), files_in(out)


def bad_images(folder: Path) -> dict[str, Path]:
    """Files that cannot be read as images, by what is wrong with them."""
    pixels = np.random.default_rng(0).integers(0, 255, (300, 300)).astype(np.uint8)
    whole = folder / "whole.tif"
    tifffile.imwrite(whole, pixels, compression="zlib")
    content = whole.read_bytes()
    whole.unlink()
    made = {
        "damaged": content[: len(content) // 2],
        "scrambled": content[:200] + bytes(len(content) - 400) + content[-200:],
        "no-image": b"These are notes on the specimen, not a picture of it.\n" * 20,
        "empty": b"",
    }
    paths = {}
    for name, data in made.items():
        paths[name] = folder / f"{name}.tif"
        paths[name].write_bytes(data)
    return paths


@pytest.mark.parametrize("what", ["damaged", "scrambled", "no-image", "empty"])
@pytest.mark.parametrize("command", ["info", "tile", "classify"])
def test_a_file_that_is_no_readable_image(refused, tmp_path, out, command, what):
    path = bad_images(tmp_path)[what]
    rest = {"info": (), "tile": ("--out", out), "classify": ("--out", out, *DEMO)}[command]
    sentence = refused(command, path, *rest)
    assert path.name in sentence
    assert_nothing_written(out)


@pytest.mark.parametrize("command", ["tile", "classify"])
def test_an_empty_folder_and_a_missing_file(refused, tmp_path, out, command):
    empty = tmp_path / "empty"
    empty.mkdir()
    rest = ("--out", out) if command == "tile" else ("--out", out, *DEMO)
    assert "holds no images" in refused(command, empty, *rest)
    assert "does not exist" in refused(command, tmp_path / "gone.tif", *rest)
    assert "matches" in refused(command, tmp_path / "*.tif", *rest)
    assert_nothing_written(out)


@pytest.mark.parametrize(
    "shape", [pytest.param((1, 1), id="1x1"), pytest.param((40, 25), id="smaller than a tile")]
)
def test_a_tiny_image_is_one_tile(run, write_tiff, out, shape):
    path = write_tiff("tiny.tif", np.full(shape, 90, np.uint8))
    result = run("classify", path, "--out", out, *DEMO, "--json")
    assert result.status == 0, result.err
    assert result.json["images"][0]["planes"][0]["cells"] == 1
    assert (out / "tiny.overlay.png").is_file()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_a_constant_image_gets_one_class(run, write_tiff, out, dtype):
    path = write_tiff("flat.tif", np.full((128, 192), 77, dtype))
    result = run("classify", path, "--out", out, *DEMO, "--json")
    assert result.status == 0, result.err
    labels = tifffile.imread(out / "flat.map.tif")
    assert len(np.unique(labels)) == 1
    assert labels.min() > 0


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_wide_types_give_the_same_classes_as_8_bit(run, write_tiff, small_sample, out, dtype):
    part = small_sample.image[128:320, 128:384]
    narrow = write_tiff("narrow.tif", part)
    wide = write_tiff("wide.tif", part.astype(dtype) * 1000 - 20_000)
    result = run("classify", narrow, wide, "--out", out, *DEMO, "--json")
    assert result.status == 0, result.err
    expected = tifffile.imread(out / "narrow.map.tif")
    assert (tifffile.imread(out / "wide.map.tif") == expected).mean() >= 11 / 12


def test_cells_of_nothing_but_nan_or_inf_are_left_out(run, write_tiff, small_sample, out):
    pixels = small_sample.image[:192, :256].astype(np.float32)
    pixels[:64, :64] = np.nan
    pixels[64:128, :64] = np.inf
    pixels[130:140, 70:90] = np.nan
    pixels[0, 200] = -np.inf
    path = write_tiff("holes.tif", pixels)
    result = run("classify", path, "--out", out, *DEMO, "--json")
    assert result.status == 0, result.err
    labels = tifffile.imread(out / "holes.map.tif")
    assert [tuple(cell) for cell in np.argwhere(labels == 0)] == [(0, 0), (1, 0)]
    assert result.json["images"][0]["planes"][0]["cells_left_out"] == 2


def test_an_image_of_nothing_but_nan_is_refused(refused, write_tiff, out):
    path = write_tiff("void.tif", np.full((128, 128), np.nan, np.float32))
    assert "void" in refused("classify", path, "--out", out, *DEMO)
    assert_nothing_written(out)


def test_a_bad_file_does_not_stop_the_others(run, tmp_path, small_image, out):
    folder = tmp_path / "night"
    folder.mkdir()
    bad_images(folder)
    (folder / "a_good.png").write_bytes(small_image.read_bytes())
    result = run("classify", folder, "--out", out, *DEMO, "--json")
    assert result.status == 1
    assert [Path(each["image"]).name for each in result.json["images"]] == ["a_good.png"]
    assert len(result.json["failures"]) == 4
    assert len(result.err.strip().splitlines()) == 4
    assert (out / "a_good.overlay.png").is_file()
    assert not [name for name in files_in(out) if name.startswith((".", "damaged", "no-image"))]


def bad_models(folder: Path) -> dict[str, Path]:
    """Model files that must be refused, by what is wrong with them."""
    whole = find_model("demo").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    card = json.loads(header["__metadata__"]["card"])
    card["format_version"] = 99
    header["__metadata__"]["card"] = json.dumps(card)
    newer = json.dumps(header).encode()
    contents = {
        "cut short": whole[: len(whole) // 2],
        "cut in the header": whole[:60],
        "wrong version": struct.pack("<Q", len(newer)) + newer + whole[8 + length :],
        "pickle": pickle.dumps({"weights": [1.0, 2.0]}),
        "empty": b"",
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / f"{name.replace(' ', '-')}.safetensors"
        paths[name].write_bytes(content)
    return paths


@pytest.mark.parametrize(
    "what", ["cut short", "cut in the header", "wrong version", "pickle", "empty"]
)
def test_a_model_file_that_cannot_be_used(refused, tmp_path, small_image, out, what):
    model = bad_models(tmp_path)[what]
    sentence = refused("classify", small_image, "--model", model, "--out", out)
    assert model.name in sentence
    assert refused("models", "info", model) == sentence
    if what == "wrong version":
        assert "update" in sentence
    assert_nothing_written(out)


def test_a_model_that_is_not_there_names_those_that_are(refused, small_image, out):
    assert "demo" in refused("classify", small_image, "--model", "nope", "--out", out)


@pytest.mark.parametrize("command", ["tile", "classify", "demo", "teach"])
def test_an_output_folder_that_cannot_be_written(
    refused, tmp_path, small_image, small_labels, small_demo, command
):
    blocked = tmp_path / "blocked"
    blocked.write_text("this is a file")
    arguments = {
        "tile": (small_image, "--out", blocked),
        "classify": (small_image, "--out", blocked, *DEMO),
        "demo": ("--headless", "--out", blocked),
        "teach": (
            "--image",
            small_image,
            "--labels",
            small_labels,
            "--classes",
            "1=a,2=b",
            "--tile",
            64,
            "--out",
            blocked / "m.safetensors",
        ),
    }[command]
    assert str(blocked) in refused(command, *arguments)
    assert blocked.read_text() == "this is a file"


def test_the_demo_refuses_a_folder_before_it_classifies(refused, tmp_path, monkeypatch):
    def work(**_wish):
        raise AssertionError("work before the refusal")

    monkeypatch.setattr("napari_sem_classify.core.sample.demo.run_demo", work)
    with output_folder(tmp_path):
        assert "Another run" in refused("demo", "--headless", "--out", tmp_path)


def test_an_output_folder_on_a_read_only_system(refused, small_image):
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc, where nobody can make a folder")
    assert "/proc/results" in refused("tile", small_image, "--out", "/proc/results")


def test_labels_that_do_not_fit_or_cannot_be_read(
    refused, tmp_path, small_image, small_labels, write_tiff
):
    def teach(labels: Path, classes: str = "1=substrate,2=coating") -> str:
        model = tmp_path / "m.safetensors"
        sentence = refused(
            *("teach", "--image", small_image, "--labels", labels, "--classes", classes),
            *("--tile", 64, "--out", model),
        )
        assert not model.exists()
        return sentence

    assert "own size" in teach(write_tiff("small.tif", np.ones((10, 10), np.uint8)))
    assert "does not exist" in teach(tmp_path / "gone.png").replace("do not", "does not")
    assert "cannot be read" in teach(bad_images(tmp_path)["no-image"])
    fractions = np.random.default_rng(0).random((384, 640))
    assert "whole numbers" in teach(write_tiff("shares.tif", fractions))
    assert "Only the class" in teach(write_tiff("one.tif", np.ones((384, 640), np.uint8)))
    assert "is no class" in teach(small_labels, "substrate and coating")


def test_a_tile_in_um_needs_a_calibrated_image(refused, small_image, out):
    sentence = refused("tile", small_image, "--out", out, "--tile-um", 2)
    assert "no pixel size" in sentence
    assert_nothing_written(out)


def test_a_device_that_is_not_there(refused, small_image, out):
    sentence = refused(
        "classify", small_image, "--model", "demo", "--out", out, "--device", "toaster"
    )
    assert "toaster" in sentence
    assert_nothing_written(out)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_stops_reading_is_no_fault():
    code = "import sys; from napari_sem_classify.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "models", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert err == ""
