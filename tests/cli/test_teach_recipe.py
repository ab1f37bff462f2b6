"""``teach`` looks at tiles in the way that was asked for, or finds it."""

from __future__ import annotations

import pytest
from tiny_backbone import TINY, known_backbone

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")
CLASSES = "1=substrate,2=coating,3=oxide"


def test_teach_tries_both_ways_with_grey_values_and_tells_what_came_out(
    run, small_image, small_labels, tmp_path
):
    done = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 64, "--stride", 32, "--recipe", "auto", "--network-px", 64, "--json"),
        *("--out", tmp_path / "auto.safetensors"),
    )
    assert done.status == 0, done.err
    assert done.json["recipe"]["network_px"] == 64
    tried = done.json["recipe_choice"]["tried"]
    assert [each["intensity"]["per_tile"] for each in tried] == [False, True]
    chosen = done.json["recipe_choice"]["chosen"]["intensity"]["per_tile"]
    assert done.json["recipe"]["per_tile"] is chosen


def test_tiles_evened_out_by_wish_are_so_in_the_model_and_the_map(
    run, small_image, small_labels, tmp_path
):
    model = tmp_path / "tile.safetensors"
    taught = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 64, "--recipe", "tile", "--network-px", 64, "--out", model),
    )
    assert taught.status == 0, taught.err
    assert run("models", "info", model, "--json").json["intensity"]["per_tile"] is True
    done = run("classify", small_image, "--model", model, "--out", tmp_path / "out", "--json")
    assert done.status == 0, done.err


def test_frames_of_a_mosaic_are_told_by_the_model_and_the_run_and_can_be_wished_for_a_run(
    run, small_image, small_labels, tmp_path
):
    model = tmp_path / "frames.safetensors"
    taught = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 64, "--recipe", "frames", "--frame-px", "128x96", "--network-px", 64),
        *("--out", model),
    )
    assert taught.status == 0, taught.err
    told = run("models", "info", model, "--json").json["intensity"]
    assert (told["over"], told["frame_px"]) == ("frames", [128, 96])
    for wish, expected in (((), "frames"), (("--recipe", "local"), "local")):
        out = tmp_path / expected
        done = run("classify", small_image, "--model", model, *wish, "--out", out, "--json")
        assert done.status == 0, done.err
        [summary] = out.glob("*.summary.json")
        assert f'"over": "{expected}"' in summary.read_text(encoding="utf-8")
        assert run("rerun", summary, "--out", tmp_path / f"{expected}-again").status == 0
    for wrong in (("--frame-px", "128x96"), ("--recipe", "frames", "--frame-px", "wide")):
        refused = run("classify", small_image, "--model", model, *wrong, "--out", tmp_path / "no")
        assert refused.status == 2


def test_a_size_that_is_none_is_wrong_usage(run, small_image, small_labels, tmp_path):
    for size in ("huge", "8"):
        refused = run(
            *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
            *("--tile", 64, "--network-px", size, "--out", tmp_path / "m.safetensors"),
        )
        assert refused.status == 2
        assert "auto" in refused.err


def test_a_head_is_taught_on_the_network_that_was_chosen_and_classifies_on_it(
    run, small_image, small_labels, tmp_path
):
    model = tmp_path / "m.safetensors"
    command = [
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 64, "--network-px", 64, "--out", model, "--network", TINY),
    ]
    assert "There is no network called 'tiny'" in run(*command).err
    with known_backbone(tmp_path):
        taught = run(*command)
        assert taught.status == 0, taught.err
        assert run("models", "info", model, "--json").json["backbone_id"] == TINY
        done = run("classify", small_image, "--model", model, "--out", tmp_path / "out", "--json")
        assert done.status == 0, done.err


def test_a_network_whose_weights_are_not_here_is_refused_with_what_to_do(
    run, small_image, small_labels, tmp_path
):
    name = "resnet50-imagenet-micronet"
    refused = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 64, "--network", name, "--out", tmp_path / "m.safetensors"),
    )
    assert refused.status == 1
    assert f"models fetch {name}" in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_what_surrounds_a_tile_is_in_the_model_the_map_and_its_repetition(
    run, small_image, small_labels, tmp_path
):
    model = tmp_path / "around.safetensors"
    taught = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 32, "--network-px", 64, "--out", model, "--json"),
        *("--context", "yes", "--alignment", 0.5, "--smoothing", 0.2),
    )
    assert taught.status == 0, taught.err
    around = {"context": True, "alignment": 0.5, "smoothing": 0.2}
    assert taught.json["surroundings"] == around
    assert "neighbours, aligned by 0.5, smoothed by 0.2" in run("models", "info", model).out
    out = tmp_path / "out"
    done = run("classify", small_image, "--model", model, "--out", out, "--stride", 16)
    assert done.status == 0, done.err
    [summary] = out.glob("*.summary.json")
    again = run("rerun", summary, "--out", tmp_path / "again", "--json")
    assert again.status == 0, again.err
    assert again.json["cells_changed"] == 0


def test_with_one_image_the_tile_counts_alone_and_the_reason_is_told(
    run, small_image, small_labels, tmp_path
):
    done = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 32, "--network-px", 64, "--out", tmp_path / "one.safetensors"),
    )
    assert done.status == 0, done.err
    assert "The tile alone: what carries over to another image shows from three" in done.out


def test_copies_with_other_settings_are_left_out_by_wish_and_the_record_tells_of_them(
    run, small_image, small_labels, tmp_path
):
    found = {}
    for wish in ("auto", "no"):
        done = run(
            *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
            *("--tile", 32, "--network-px", 64, "--out", tmp_path / wish, "--json"),
            *("--context", "no", "--copies", wish),
        )
        assert done.status == 0, done.err
        found[wish] = done.json
    assert found["auto"]["copies"] > 0
    assert "learned from: what carries over" in found["auto"]["copies_choice"]["reason"]
    assert (found["no"]["copies"], found["no"]["copies_choice"]) == (0, None)
    refused = run(
        *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
        *("--tile", 32, "--out", tmp_path / "dense", "--dense", "--copies", "yes"),
    )
    assert (refused.status, "taught without copies" in refused.err) == (2, True)
