"""A night's batch: damaged files, a kill in the middle, a disk that fills up."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_files import files_in
from PIL import Image
from sem_pictures import specimen
from small_disk import fill_up, small_disk
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_plan import images_to_classify
from napari_sem_classify.core.batch.batch_report import write_batch_report
from napari_sem_classify.core.batch.batch_state import BatchState, BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.folder_record import FolderRecord

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[2]
CLASSIFIER = brightness_classifier()
DAMAGED = (17, 63, 64, 120, 199)
IMAGES = 200


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """200 images, 5 of which are damaged in different ways."""
    folder = tmp_path_factory.mktemp("night")
    for number in range(IMAGES):
        path = folder / f"field_{number}.png"
        Image.fromarray(specimen(48, 64, seed=number)).save(path)
    whole = (folder / "field_17.png").read_bytes()
    (folder / "field_17.png").write_bytes(whole[: len(whole) // 2])
    (folder / "field_63.png").write_bytes(b"")
    (folder / "field_64.png").write_bytes(b"notes on the specimen")
    (folder / "field_120.png").write_bytes(whole[:40] + bytes(len(whole) - 40))
    (folder / "field_199.png").write_bytes(whole[:8])
    return folder


def whole_files(out):
    """Every file of a batch can be read; the stems of those that have all of theirs."""
    maps = {path.name.removesuffix(".map.tif") for path in out.glob("*.map.tif")}
    summaries = {path.name.removesuffix(".summary.json") for path in out.glob("*.summary.json")}
    for path in out.glob("*.map.tif"):
        tifffile.imread(path)
    for path in out.glob("*.summary.json"):
        json.loads(path.read_text(encoding="utf-8"))
    return maps & summaries, maps ^ summaries


def test_200_images_with_5_damaged_ones_killed_once_and_resumed(night, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "batch_job.py"), str(night), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )
    for count, _line in enumerate(process.stdout, start=1):
        if count == 70:
            process.kill()  # SIGKILL: nothing in it can tidy up
            break
    process.wait()
    process.stdout.close()
    complete, parts = whole_files(out)
    assert parts == set()
    assert 67 <= len(complete) < 195  # 70 images, 3 of them damaged
    noted = BatchState(FolderRecord(out), "").images
    first = {Path(path).name for path in noted}
    written = {path: path.stat().st_mtime_ns for path in out.glob("field_*")}

    engine = TinyEngine()
    report = classify_many(
        images_to_classify([night]),
        CLASSIFIER,
        BatchTarget(out, kinds=()),
        ClassifyOptions(cache=False),
        engine=engine,
    )
    write_batch_report(report, out, CLASSIFIER.card)

    assert {each.path.name for each in report.done if each.resumed} == first
    assert engine.calls == IMAGES - len(DAMAGED) - len(first)  # one batch of tiles an image
    for path, time in written.items():
        if any(path.name.startswith(f"{Path(name).stem}.") for name in first):
            assert path.stat().st_mtime_ns == time, path
    with (out / "batch.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["image"] for row in rows}) == 195
    with (out / "batch.failures.csv").open(encoding="utf-8", newline="") as file:
        failures = list(csv.DictReader(file))
    assert [Path(row["image"]).stem for row in failures] == [f"field_{n}" for n in DAMAGED]
    assert all(Path(row["image"]).name in row["problem"] for row in failures)
    complete, parts = whole_files(out)
    assert (len(complete), parts) == (195, set())
    assert [name for name in files_in(out) if name.startswith(".")] == []


def test_a_disk_that_fills_up_stops_the_batch_in_a_sentence_and_keeps_what_is_whole(
    night, tmp_path
):
    paths = [night / f"field_{number}.png" for number in range(12)]
    with small_disk(tmp_path / "disk", 800) as disk:
        out = disk / "out"
        filler = fill_up(disk, 80)
        with pytest.raises(OutputError) as refused:
            classify_many(
                paths,
                CLASSIFIER,
                BatchTarget(out, kinds=()),
                ClassifyOptions(cache=False),
                engine=TinyEngine(),
            )
        sentence = str(refused.value)
        assert "No space left" in sentence
        assert "free space" in sentence
        assert str(out) in sentence
        assert "\n" not in sentence
        complete, parts = whole_files(out)
        assert parts == set()
        assert 0 < len(complete) < 12
        assert [name for name in files_in(out) if name.startswith(".")] == []

        filler.unlink()
        noted = set(BatchState(FolderRecord(out), "").images)
        report = classify_many(
            paths,
            CLASSIFIER,
            BatchTarget(out, kinds=()),
            ClassifyOptions(cache=False),
            engine=TinyEngine(),
        )
        assert len(report.done) == 12
        assert {str(each.path) for each in report.done if each.resumed} == noted
        assert len(noted) >= len(complete) - 1


def test_a_full_disk_leaves_the_earlier_files_of_an_image_as_they_were(night, tmp_path):
    path = night / "field_1.png"
    with small_disk(tmp_path / "disk", 800) as disk:
        out = disk / "out"
        classify_many(
            [path],
            CLASSIFIER,
            BatchTarget(out, kinds=()),
            ClassifyOptions(cache=False),
            engine=TinyEngine(),
        )
        before = {each.name: each.read_bytes() for each in out.iterdir()}
        fill_up(disk, 0)
        other = brightness_classifier(threshold=0.3)
        with pytest.raises(OutputError):
            classify_many(
                [path],
                other,
                BatchTarget(out, kinds=()),
                ClassifyOptions(cache=False),
                engine=TinyEngine(),
            )
        assert {each.name: each.read_bytes() for each in out.iterdir()} == before


def test_the_numbers_of_the_table_are_those_of_the_maps(night, tmp_path):
    out = tmp_path / "out"
    paths = [night / f"field_{number}.png" for number in range(3)]
    report = classify_many(
        paths,
        CLASSIFIER,
        BatchTarget(out, kinds=()),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    for each in report.done:
        labels = tifffile.imread(out / f"{each.stem}.map.tif")
        shares = {share["name"]: share["fraction"] for share in each.planes[0]["classes"]}
        assert shares["bright"] == pytest.approx(np.mean(labels == 2))
