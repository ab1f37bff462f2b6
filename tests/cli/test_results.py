"""What is made of finished maps without a viewer: a rerun, exports, a review, a batch's report."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
from class_maps import map_of, patchy_labels
from cli_files import files_in
from PIL import Image
from small_disk import fill_up, small_disk

from napari_sem_classify.core.maps.map_file import SavedMap, write_map
from napari_sem_classify.core.measure.review_file import load_review


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, small_image):
    """A small image classified by the command, its files beside it."""
    from typer.testing import CliRunner

    from napari_sem_classify.cli import app

    folder = tmp_path_factory.mktemp("run")
    shutil.copy(small_image, folder / "coating.png")
    command = ["classify", str(folder / "coating.png"), "--model", "demo", "--out", str(folder)]
    result = CliRunner().invoke(app, [*command, "--tile", "64", "--no-cache", "--report"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def folder(first_run, tmp_path):
    """A copy of the run that has moved, image and maps together."""
    return shutil.copytree(first_run, tmp_path / "moved")


@pytest.fixture
def patches(tmp_path):
    """A map of three classes with its truth: 100 of 2000 cells are wrong."""
    truth = patchy_labels()
    labels = truth.copy()
    wrong = np.random.default_rng(3).choice(labels.size, 100, replace=False)
    labels.flat[wrong] = labels.flat[wrong] % 3 + 1
    write_map(SavedMap.of(map_of(labels)), tmp_path / "coating_12.map.tif")
    mask = np.kron(truth, np.ones((16, 16), np.uint8)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "truth.tif", mask)
    return tmp_path, truth


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------- rerun


def test_rerun_gives_the_same_map(run, first_run, tmp_path):
    out = tmp_path / "again"
    again = run("rerun", first_run / "coating.summary.json", "--out", out, "--json")
    assert again.status == 0, again.err
    assert again.json["same"] is True
    assert again.json["cells_changed"] == 0
    assert again.json["differences"] == []
    old, new = (tifffile.imread(each / "coating.map.tif") for each in (first_run, out))
    assert np.array_equal(old, new)


def test_rerun_says_what_differs_and_ends_with_1(run, folder, first_run):
    pixels = np.asarray(Image.open(folder / "coating.png"))
    Image.fromarray(pixels[::-1]).save(folder / "coating.png")
    summary = folder / "coating.summary.json"
    record = json.loads(summary.read_text(encoding="utf-8"))
    record["record"]["image"]["path"] = str(folder / "coating.png")
    record["record"]["versions"]["numpy"] = "1.0"
    summary.write_text(json.dumps(record), encoding="utf-8")
    again = run("rerun", summary)
    assert again.status == 1
    assert again.err.strip() == "coating.summary.json: the map differs from the recorded one."
    assert "The map differs." in again.out
    assert "its content differs" in again.out
    assert "of 60 cells have another class" in again.out
    assert "numpy 1.0 →" in again.out


@pytest.mark.parametrize("what", ["model", "image", "record", "no record"])
def test_rerun_of_something_that_is_missing_is_one_sentence(run, folder, what):
    summary = folder / "coating.summary.json"
    record = json.loads(summary.read_text(encoding="utf-8"))
    if what == "model":
        record["record"]["model"].update(head_sha256="0" * 64, path="/gone.safetensors", name="x")
    if what == "image":
        record["record"]["image"]["path"] = "/gone/other.png"
    summary.write_text("[]" if what == "no record" else json.dumps(record), encoding="utf-8")
    if what == "record":
        summary.unlink()
    failed = run("rerun", summary)
    assert failed.status == 1
    (sentence,) = failed.err.strip().splitlines()
    word = {"model": "give its file", "image": "say where it is", "no record": "is no record"}
    assert word.get(what, "cannot be read") in sentence


# ---------------------------------------------------------------------- export


def test_every_kind_of_export_is_written(run, folder, tmp_path):
    out = tmp_path / "out"
    kinds = "csv,regions,geojson,ome-zarr,svg,tif,fractions,html"
    result = run("export", folder / "coating.map.tif", "--out", out, "--as", kinds, "--json")
    assert result.status == 0, result.err
    ends = ("tiles.csv", "regions.csv", "geojson", "map.ome.zarr", "figure.svg", "map.tif")
    expected = {f"coating.{end}" for end in ends} | {"fractions.csv", "report.html"}
    assert {name for name in files_in(out) if "zarr/" not in name} == expected
    assert {path.rpartition("/")[2] for path in result.json["files"]} == expected
    assert rows_of(out / "coating.tiles.csv") == rows_of(folder / "coating.tiles.csv")
    assert np.array_equal(
        tifffile.imread(out / "coating.map.tif"), tifffile.imread(folder / "coating.map.tif")
    )
    summary = json.loads((folder / "coating.summary.json").read_text(encoding="utf-8"))
    shares = {row["class"]: float(row["fraction"]) for row in rows_of(out / "fractions.csv")}
    for each in summary["classes"]:
        assert shares[each["title"]] == pytest.approx(each["fraction"], rel=1e-5)


def test_a_kind_named_twice_is_written_once(run, folder, tmp_path):
    result = run("export", folder / "coating.map.tif", "--out", tmp_path, "--as", "csv,tiles,map")
    assert result.status == 0, result.err
    assert result.out.split() == [
        str(tmp_path / f"coating.{end}") for end in ("tiles.csv", "map.tif")
    ]


def test_without_the_image_what_shows_it_is_left_out_and_named(run, patches):
    folder, _ = patches
    out = folder / "out"
    result = run("export", folder / "coating_12.map.tif", "--out", out, "--as", "png,csv,html")
    assert result.status == 1
    (sentence,) = result.err.strip().splitlines()
    assert "png, html could not be made" in sentence
    assert files_in(out) == ["coating_12.tiles.csv"]


def test_export_of_something_else_is_refused(run, small_image, tmp_path):
    assert run("export", small_image, "--out", tmp_path, "--as", "gif").status == 2
    failed = run("export", small_image, "--out", tmp_path / "out", "--as", "csv")
    assert failed.status == 1
    assert "is no class map" in failed.err
    damaged = tmp_path / "damaged.map.tif"
    damaged.write_bytes(b"II*\x00")
    failed = run("export", damaged, "--out", tmp_path / "out", "--as", "csv")
    assert "damaged.map.tif" in failed.err


# ---------------------------------------------------------------------- review


def test_a_review_with_a_mask_in_the_reviewers_place_corrects_the_fractions(run, patches):
    folder, truth = patches
    review, map_file = folder / "r.json", folder / "coating_12.map.tif"
    started = run("review", "start", map_file, "--out", review, "--cells", 300, "--json")
    assert started.status == 0, started.err
    assert started.json["cells"] == 300
    table = rows_of(folder / "r.csv")
    assert len(table) == 300
    assert "class" not in table[0]  # blind
    classes = "1=matrix,2=oxide,3=crack"
    answered = run(
        *("review", "answer", review, map_file, "--truth", folder / "truth.tif"),
        *("--classes", classes, "--json"),
    )
    assert (answered.json["answered"], answered.json["open"]) == (300, 0)
    for row, cell in zip(rows_of(folder / "r.csv"), load_review(review).cells, strict=True):
        assert row["answer"] == ("matrix", "oxide", "crack")[truth[cell.row, cell.col] - 1]
    found = run("review", "estimate", review, map_file, "--precision", 0.5, "--json").json
    for number, each in enumerate(found["classes"], start=1):
        true = (truth == number).mean()
        assert each["corrected"]["low"] <= true <= each["corrected"]["high"]
        assert each["area_um2"] == pytest.approx(each["corrected"]["value"] * 2000 * 0.64, rel=1e-6)
        assert each["more_cells"] > 0
    text = run("review", "estimate", review).out
    assert "CORRECTED, 95 %" in text
    assert "300 cells reviewed" in text


def test_a_filled_table_gives_the_answers_and_more_cells_are_added_to_it(run, patches):
    folder, truth = patches
    review, map_file = folder / "r.json", folder / "coating_12.map.tif"
    run("review", "start", map_file, "--out", review, "--cells", 60)
    rows = rows_of(folder / "r.csv")
    for row in rows[:50]:
        k = truth[int(row["y"]) // 16, int(row["x"]) // 16]
        row["answer"] = ("Matrix", " oxide", "crack")[k - 1]
    rows[50]["answer"] = "unsure"
    filled = folder / "filled.csv"
    with filled.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")  # as some spreadsheets write it
        writer.writeheader()
        writer.writerows(rows)
    answered = run("review", "answer", review, "--table", filled, "--json")
    assert answered.json["answered"] == 51
    longer = run("review", "extend", review, map_file, "--precision", 4, "--json")
    assert longer.json["cells"] > 60
    assert longer.json["answered"] == 51
    assert len(rows_of(folder / "r.csv")) == longer.json["cells"]
    assert rows_of(folder / "r.csv")[0]["answer"] == rows[0]["answer"].strip().lower()


def test_outlines_are_reviewed_by_points(run, first_run, tmp_path):
    """A mask plays the person who says what lies at each point."""
    drawn = run(
        *("classify", first_run / "coating.png", "--model", "demo", "--out", tmp_path),
        *("--tile", 64, "--outlines", "--no-cache"),
    )
    assert drawn.status == 0, drawn.err
    outlines, review = tmp_path / "coating.outlines.tif", tmp_path / "points.json"
    pictures = tmp_path / "pictures"
    asked = ("review", "start", outlines, "--out", review, "--points", 120, "--pictures", pictures)
    started = run(*asked, "--json")
    assert (started.json["unit"], started.json["pictures"]) == ("point", 120)
    assert {row["height"] for row in rows_of(tmp_path / "points.csv")} == {"1"}
    labels = tifffile.imread(outlines)
    assert "No point was reviewed yet" in run("review", "estimate", review).err
    told = json.loads(review.read_text())["classes"]
    meaning = ",".join(f"{k}={each['name']}" for k, each in enumerate(told, start=1))
    truth = np.roll(labels, 3, axis=0)
    tifffile.imwrite(tmp_path / "truth.tif", truth)
    answers = ("--truth", tmp_path / "truth.tif", "--classes", meaning)
    assert run("review", "answer", review, outlines, *answers).status == 0
    found = run("review", "estimate", review, outlines, "--json").json
    assert found["unit"] == "point"
    for number, each in enumerate(found["classes"], start=1):
        true = (truth == number).sum() / (truth > 0).sum()
        assert each["corrected"]["low"] <= true <= each["corrected"]["high"]
    assert "points reviewed" in run("review", "estimate", review).out


def test_pictures_of_the_cells_are_written_where_the_image_is(run, folder, tmp_path):
    pictures = tmp_path / "pictures"
    command = ("review", "start", folder, "--out", tmp_path / "r.json", "--cells", 9)
    started = run(*command, "--pictures", pictures, "--json")
    assert started.status == 0, started.err
    assert started.json["pictures"] == 9
    for path in pictures.glob("*.png"):
        shown = np.asarray(Image.open(path))
        assert (shown == (255, 200, 0)).all(axis=-1).any()
    assert "is there already" in run(*command).err


@pytest.mark.parametrize(
    ("cells", "answer", "words"),
    [
        ("1", "", "No cell was reviewed yet"),
        ("1", "unsure", "All reviewed cells are unsure"),
        ("1", "rust", "'rust' is no class: write matrix, oxide, crack, unsure"),
        ("999", "matrix", "has the cell '999'"),
    ],
)
def test_answers_from_which_nothing_follows_are_told_in_a_sentence(
    run, patches, cells, answer, words
):
    folder, _ = patches
    review = folder / "r.json"
    run("review", "start", folder / "coating_12.map.tif", "--out", review, "--cells", 20)
    filled = folder / "f.csv"
    filled.write_text(f"cell,answer\n{cells},{answer}\n")
    results = [
        run("review", "answer", review, "--table", filled),
        run("review", "estimate", review),
    ]
    failed = next(each for each in results if each.status)
    assert failed.status == 1
    assert words in failed.err
    assert len(failed.err.strip().splitlines()) == 1


def test_a_review_of_another_map_is_refused(run, patches):
    folder, _ = patches
    run("review", "start", folder / "coating_12.map.tif", "--out", folder / "r.json")
    write_map(SavedMap.of(map_of(patchy_labels(seed=5))), folder / "coating_12.map.tif")
    failed = run("review", "estimate", folder / "r.json", folder / "coating_12.map.tif")
    assert failed.status == 1
    assert "is not the one that this review was drawn from" in failed.err


# ---------------------------------------------------------------------- classify


def test_a_batch_has_one_table_and_one_page(first_run):
    (row,) = rows_of(first_run / "batch.csv")
    summary = json.loads((first_run / "coating.summary.json").read_text(encoding="utf-8"))
    for each in summary["classes"]:
        assert float(row[f"fraction_{each['title']}"]) == pytest.approx(each["fraction"], rel=1e-5)
    assert "coating.png" in (first_run / "batch.html").read_text(encoding="utf-8")
    assert not (first_run / "batch.failures.csv").exists()


def test_an_output_disk_that_is_full_is_one_sentence(run, small_image, tmp_path):
    with small_disk(tmp_path / "disk", 3000) as disk:
        out = disk / "out"
        filler = fill_up(disk, 40)
        command = ("classify", small_image, "--model", "demo", "--out", out, "--tile", 64)
        failed = run(*command, "--json")
        assert failed.status == 1
        (sentence,) = failed.err.strip().splitlines()
        assert "No space left" in sentence
        assert files_in(out) == []
        filler.unlink()
        again = run(*command, "--json")
        assert again.status == 0, again.err
        assert again.json["images"][0]["resumed"] is False


def test_a_kind_that_is_none_is_wrong_usage(run, small_image, tmp_path):
    command = ("classify", small_image, "--model", "demo", "--out", tmp_path)
    assert run(*command, "--also", "gif").status == 2


# ------------------------------------------------------------------- outlines


def test_outlines_are_written_beside_the_map_and_drawn_again(run, small_image, tmp_path):
    out = tmp_path / "out"
    said = run("classify", small_image, "--model", "demo", "--tile", 64, "--out", out, "--outlines")
    assert said.status == 0, said.err
    assert "by outlines: " in said.out
    labels = tifffile.imread(out / "coating.outlines.tif")
    assert labels.shape == (384, 640)
    again = run("rerun", out / "coating.summary.json", "--out", tmp_path / "again")
    assert again.status == 0, again.err
    drawn = tifffile.imread(tmp_path / "again" / "coating.outlines.tif")
    assert (drawn == labels).mean() > 0.99  # the first run may see features rounded
    classes = json.loads((out / "coating.summary.json").read_text())["record"]["outlines"]
    known = labels[labels > 0]
    shares = [each["fraction"] for each in classes["classes"]]
    assert shares == pytest.approx([(known == n + 1).mean() for n in range(len(shares))], abs=0.02)
    named = run("export", out / "coating.outlines.tif", "--out", tmp_path / "e", "--as", "regions")
    assert named.status == 0, named.err
    assert (tmp_path / "e" / "coating.outlines.regions.csv").is_file()
    resumed = run(
        "classify", small_image, "--model", "demo", "--tile", 64, "--out", out, "--outlines"
    )
    assert "finished by an earlier run" in resumed.out and "by outlines: " in resumed.out
