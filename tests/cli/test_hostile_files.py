"""Files of strangers are shown, or refused in one sentence; nothing of them steers the terminal."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from napari_sem_classify.cli import app

RED = "\x1b[31mred\x1b]0;title\x07\u202e<b>"


def printed(done) -> str:
    assert done.exit_code in (0, 1)
    text = done.stdout + done.stderr
    assert text.replace("\n", "").isprintable()
    if done.exit_code:
        assert done.stderr.count("\n") == 1
        assert "unexpected" not in done.stderr
    return text


def test_models_of_strangers_are_shown_or_refused_at_once(shared):
    models = sorted((shared / "cases" / "hostile").glob("model_*.safetensors"))
    if not models:
        pytest.skip("../shared/cases/hostile is absent")
    for model in models:
        for further in ([], ["--json"]):
            printed(CliRunner().invoke(app, ["models", "info", str(model), *further]))


def test_a_record_with_escape_sequences_is_told_without_them(tmp_path):
    path = tmp_path / "odd.summary.json"
    record = {"job": "classify", "model": {"name": RED}, "image": {"name": RED, "path": RED}}
    path.write_text(json.dumps({**record, "grid": {"area": [0, 9, 0, 9], "tile_px": RED}}))
    assert "grid.tile_px" in printed(CliRunner().invoke(app, ["rerun", str(path)]))
    grid = {"area": [0, 9, 0, 9], "tile_px": 9, "stride_px": 9}
    path.write_text(json.dumps({**record, "grid": grid}))
    assert "\\x1b[31mred" in printed(CliRunner().invoke(app, ["rerun", str(path)]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", [{"name": RED, "colour": "#000000"}] * 2),
        ("cells", [[0, 0, 0, True, 1, None]]),
        ("cells", [[0, 0, 0, 1, 1, "much"]]),
        ("seed", 1.5),
        ("images", [{"name": "a", "plane": [-1], "map_sha256": ""}]),
        ("stratum_cells", [1]),
    ],
)
def test_a_review_that_is_not_right_is_refused_with_the_field(tmp_path, key, value):
    review = {
        "format": "napari-sem-classify review",
        "format_version": 1,
        "seed": 0,
        "classes": [{"name": name, "colour": "#000000"} for name in "ab"],
        "images": [{"name": "a", "plane": [], "map_sha256": ""}],
        "stratum_cells": [1, 1],
        "stratum_area_px": [1, 1],
        "cells": [[0, 0, 0, 1, 1, None]],
    }
    path, table = tmp_path / "r.json", tmp_path / "r.csv"
    table.write_text("cell,answer\n1,b\n")
    path.write_text(json.dumps(review))
    asked = ["review", "answer", str(path), "--table", str(table)]
    assert "1 of 1" in printed(CliRunner().invoke(app, asked))
    path.write_text(json.dumps({**review, key: value}))
    assert "is damaged" in printed(CliRunner().invoke(app, asked))
