"""``teach`` looks at tiles in the way that was asked for, or finds it."""

from __future__ import annotations

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


def test_a_size_that_is_none_is_wrong_usage(run, small_image, small_labels, tmp_path):
    for size in ("huge", "8"):
        refused = run(
            *("teach", "--image", small_image, "--labels", small_labels, "--classes", CLASSES),
            *("--tile", 64, "--network-px", size, "--out", tmp_path / "m.safetensors"),
        )
        assert refused.status == 2
        assert "auto" in refused.err
