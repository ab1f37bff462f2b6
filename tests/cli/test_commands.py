"""The commands on good input: what they print, what they write, with the shipped model."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from cli_files import files_in

OUTPUTS = [
    "coating.map.tif",
    "coating.overlay.png",
    "coating.summary.json",
    "coating.tiles.csv",
]


def test_help_and_version_answer_without_loading_anything_heavy():
    heavy = "{'torch', 'napari', 'numpy', 'tifffile', 'skimage', 'fastai'}"
    for option in ("--help", "--version"):
        code = (
            f"import sys; sys.argv = ['napari-sem-classify', '{option}']\n"
            "from napari_sem_classify.cli import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
            f"loaded = {heavy} & {{name.split('.')[0] for name in sys.modules}}\n"
            "assert not loaded, loaded\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "napari-sem-classify" in done.stdout or "Usage" in done.stdout


def test_info_tells_size_type_and_where_the_specimen_is(run, small_image):
    facts = run("info", small_image, "--json").json
    assert facts["shape"] == [384, 640]
    assert facts["dtype"] == "uint8"
    assert facts["pixel_size_nm"] is None
    assert facts["specimen"] == [0, 384, 0, 640]
    text = run("info", small_image).out
    assert "384 × 640 px" in text
    assert "not calibrated" in text


def test_info_reads_a_vendor_file(run, shared_data):
    facts = run("info", shared_data / "vendor" / "aquami_Sample.tif", "--json").json
    assert facts["vendor"] == "Zeiss"
    assert facts["pixel_size_nm"] == pytest.approx(0.543)
    assert facts["specimen"][1] < facts["shape"][0]


def test_tile_writes_each_tile_and_a_table(run, small_image, tmp_path):
    out = tmp_path / "tiles"
    result = run("tile", small_image, "--out", out, "--tile", 128, "--stride", 64, "--json")
    assert result.status == 0, result.err
    (image,) = result.json["images"]
    assert image["tiles"] == 5 * 9
    assert image["stride_px"] == 64
    with (out / "coating.tile_files.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 45
    assert all((out / row["file"]).is_file() for row in rows)


def test_tiles_of_an_earlier_grid_do_not_stay_among_the_new_ones(run, small_image, tmp_path):
    out = tmp_path / "tiles"
    assert run("tile", small_image, "--out", out, "--tile", 64).status == 0
    own = out / "coating_r0000_c0099.tif"  # looks like a tile, but no table lists it
    own.write_bytes(b"the user's")
    again = run("tile", small_image, "--out", out, "--tile", 128, "--format", "png", "--json")
    assert again.status == 0, again.err
    assert again.json["images"][0]["removed"] == 6 * 10
    with (out / "coating.tile_files.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["file"] for row in csv.DictReader(file)}
    assert len(listed) == 3 * 5
    assert set(files_in(out)) == listed | {"coating.tile_files.csv", own.name}
    assert own.read_bytes() == b"the user's"
    text = run("tile", small_image, "--out", out, "--tile", 64).out
    assert "15 of an earlier run deleted" in text


def test_a_table_that_names_other_files_deletes_none(run, small_image, tmp_path):
    out = tmp_path / "tiles"
    out.mkdir()
    precious = tmp_path / "coating_r0000_c0000.tif"
    for path in (precious, out / "notes.txt"):
        path.write_text("precious")
    (out / "coating.tile_files.csv").write_text("file\n../coating_r0000_c0000.tif\nnotes.txt\n")
    result = run("tile", small_image, "--out", out, "--json")
    assert result.json["images"][0]["removed"] == 0
    assert precious.read_text() == (out / "notes.txt").read_text() == "precious"


def test_classify_with_the_demo_model_finds_the_layers(run, small_image, small_sample, tmp_path):
    result = run(
        "classify", small_image, "--model", "demo", "--out", tmp_path, "--tile", 64, "--json"
    )
    assert result.status == 0, result.err
    assert [name for name in files_in(tmp_path) if name.startswith("coating")] == OUTPUTS
    summary = json.loads((tmp_path / "coating.summary.json").read_text(encoding="utf-8"))
    assert summary["cells"] == 60
    assert {each["name"] for each in summary["classes"]} == {
        "substrate",
        "coating",
        "oxide",
        "crack",
    }
    labels = tifffile.imread(tmp_path / "coating.map.tif")
    centres = small_sample.truth[32::64, 32::64]
    agree = (labels == centres)[(centres == 1) | (centres == 3)].mean()
    assert agree > 0.8


def test_classify_takes_up_where_an_earlier_run_stopped(run, small_image, tmp_path):
    command = ("classify", small_image, "--model", "demo", "--out", tmp_path, "--json")
    first, second = run(*command).json, run(*command).json
    assert [each["resumed"] for each in first["images"] + second["images"]] == [False, True]
    assert run(*command, "--again").json["images"][0]["resumed"] is False


def test_the_tile_size_follows_the_models_scale_and_the_user_is_told(run, small_image, tmp_path):
    result = run("classify", small_image, "--model", "demo", "--out", tmp_path, "--json")
    (image,) = result.json["images"]
    assert image["scale_warning"]
    assert "no pixel size" in image["scale_note"]


def test_a_taught_model_classifies_what_it_learned(run, small_image, small_labels, tmp_path):
    model = tmp_path / "mine.safetensors"
    classes = "1=substrate,2=coating,3=oxide"
    taught = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", classes),
        *("--tile", 64, "--stride", 32, "--out", model, "--json"),
    )
    assert taught.status == 0, taught.err
    assert set(taught.json["tiles"]) == {"substrate", "coating", "oxide"}
    assert min(taught.json["tiles"].values()) >= 2
    assert model.stat().st_size < 1_000_000

    card = run("models", "info", model, "--json").json
    assert [each["name"] for each in card["classes"]] == ["substrate", "coating", "oxide"]
    assert card["tile_px"] == 64

    done = run("classify", small_image, "--model", model, "--out", tmp_path / "out", "--json")
    assert done.status == 0, done.err
    fractions = {
        each["name"]: each["fraction"] for each in done.json["images"][0]["planes"][0]["classes"]
    }
    assert fractions["substrate"] > 0.2
    assert fractions["coating"] > 0.2


def test_the_demo_model_comes_first_in_the_catalogue(run):
    models = run("models", "list", "--json").json
    assert models[0]["name"] == "demo"
    assert models[0]["source"] == "shipped"
    assert models[0]["classes"] == ["substrate", "coating", "oxide", "crack"]
    assert "demo" in run("models", "list").out


def test_the_demo_models_card_says_how_it_was_scored(run):
    card = run("models", "info", "demo", "--json").json
    assert card["pixel_size_nm"] == 25.0
    assert card["scores"]["macro_f1"] > 0.8
    assert "Macro f1" in run("models", "info", "demo").out


def test_the_headless_demo_writes_image_truth_and_map(run, tmp_path):
    out = tmp_path / "demo"
    result = run("demo", "--headless", "--out", out, "--json")
    assert result.status == 0, result.err
    name = "coating-cross-section"
    assert files_in(out) == sorted(
        f"{name}.{end}"
        for end in (*("tif", "truth.tif", "tiles.csv", "summary.json", "map.tif", "overlay.png"),)
    )
    assert result.json["agreement"]["accuracy"] > 0.9
    image = tifffile.imread(out / f"{name}.tif")
    truth = tifffile.imread(out / f"{name}.truth.tif")
    assert image.shape == truth.shape == (1536, 2048)
    assert run("info", out / f"{name}.tif", "--json").json["pixel_size_nm"] == pytest.approx(25.0)


def test_without_a_display_the_demo_writes_files_and_says_so(
    run, small_demo, tmp_path, monkeypatch
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    result = run("demo", "--out", tmp_path / "demo")
    assert result.status == 0, result.err
    assert "no display" in result.err
    assert (tmp_path / "demo" / "coating-cross-section.overlay.png").is_file()


def test_stacks_are_classified_plane_by_plane(run, small_sample, write_tiff, tmp_path):
    part = small_sample.image[:128, :192]
    stack = write_tiff("stack.tif", np.stack([part, part[::-1]]))
    out = tmp_path / "out"
    result = run("classify", stack, "--model", "demo", "--out", out, "--tile", 64, "--json")
    assert result.status == 0, result.err
    assert len(result.json["images"][0]["planes"]) == 2
    assert (out / "stack_z0000.map.tif").is_file()
    assert (out / "stack_z0001.map.tif").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ("tile", "x.tif", "--out", "o", "--tile", "64", "--tile-um", "2"),
        ("tile", "x.tif", "--out", "o", "--tile", "0"),
        ("tile", "x.tif"),
        ("classify", "x.tif", "--out", "o"),
        (
            "teach",
            "--image",
            "a",
            "--labels",
            "b",
            "--labels",
            "c",
            "--classes",
            "0=a,1=b",
            "--tile",
            "64",
            "--out",
            "m.safetensors",
        ),
        ("nonsense",),
    ],
)
def test_wrong_usage_ends_with_status_2(run, arguments):
    assert run(*arguments).status == 2


def test_benchmark_reports_rates_of_this_computer(run, small_image):
    result = run(
        *("benchmark", small_image, "--tile", 64, "--network", 64, "--repeats", 1),
        *("--seconds", 0.2, "--no-plain-loop", "--device", "cpu", "--json"),
    )
    assert result.status == 0, result.err
    found = result.json
    assert found["end_to_end_tiles_per_s"] > 0
    assert found["bare_tiles_per_s"] > 0
    assert found["plain_loop_tiles_per_s"] is None
    assert found["tile_px"] == 64
    assert {"peak_memory_mb", "backend", "device", "dtype"} <= set(found)


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="POSIX")
def test_ctrl_c_stops_with_a_sentence_and_leaves_nothing(small_image, tmp_path):
    out = tmp_path / "tiles"
    # A sweep of tens of thousands of tiles, interrupted as soon as its first tile lies on the disk.
    command = [sys.executable, "-m", "napari_sem_classify", "tile", str(small_image)]
    options = ["--out", str(out), "--tile", "64", "--stride", "1"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(tmp_path.glob("tiles/.sem-classify-*/*.tif")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Stopped; nothing was changed."
    assert "Traceback" not in err
    assert files_in(out) == []


def test_the_demo_on_ones_own_image_warns_that_its_model_knows_coatings_only(
    run, small_image, tmp_path
):
    result = run("demo", small_image, "--headless", "--out", tmp_path)
    assert result.status == 0, result.err
    assert "generated coatings only" in result.err
    assert (tmp_path / "coating.overlay.png").is_file()
