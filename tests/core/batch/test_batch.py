"""Many images: a bad one does not stop the others, and a second run does only what is left."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from cli_files import files_in
from PIL import Image
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_report import write_batch_report
from napari_sem_classify.core.batch.batch_state import BatchState, BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import Cancelled, OutputError
from napari_sem_classify.core.common.folder_record import RECORD_NAME, FolderRecord
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.common.output_folder import output_folder

CLASSIFIER = brightness_classifier()
ENDINGS = ("map.tif", "overlay.png", "summary.json", "tiles.csv")


def picture(path, seed=0):
    pixels = np.random.default_rng(seed).integers(1, 255, (64, 96)).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    return [picture(tmp_path / "in" / f"{name}.png", seed) for seed, name in enumerate("abc")]


def run(paths, out, **more):
    engine = TinyEngine()
    classifier = more.pop("classifier", CLASSIFIER)
    target = BatchTarget(out, resume=more.pop("resume", True))
    options = more.pop("options", ClassifyOptions(cache=False))
    report = classify_many(paths, classifier, target, options, engine=engine, **more)
    return report, engine.calls


def test_every_image_gets_its_files(pictures, tmp_path):
    told = []
    report, _ = run(pictures, tmp_path / "out", on_image=told.append)
    assert [image.stem for image in report.done] == ["a", "b", "c"]
    assert report.failed == ()
    assert list(report.images) == told
    for image in report.images:
        assert len(image.files) == 4
        assert all(path.is_file() for path in image.files)
        assert sum(item["fraction"] for item in image.planes[0]["classes"]) == pytest.approx(1)


def test_a_bad_file_is_reported_and_the_others_are_classified(pictures, tmp_path):
    pictures[1].write_bytes(b"no picture at all")
    report, _ = run(pictures, tmp_path / "out")
    assert [image.stem for image in report.done] == ["a", "c"]
    (failed,) = report.failed
    assert failed.path == pictures[1]
    assert "b.png" in failed.problem
    assert not list((tmp_path / "out").glob("b.*"))


def test_a_failure_that_nobody_thought_of_does_not_stop_the_others(pictures, tmp_path):
    class Fails(TinyEngine):
        def embed(self, batch, intensity):
            if self.calls == 1:
                self.calls += 1
                raise ZeroDivisionError("in a library")
            return super().embed(batch, intensity)

    report = classify_many(
        pictures,
        CLASSIFIER,
        BatchTarget(tmp_path / "out"),
        ClassifyOptions(cache=False),
        engine=Fails(64),
    )
    assert len(report.done) == 2
    assert "in a library" in report.failed[0].problem


def test_a_second_run_does_only_what_is_new_changed_or_gone(pictures, tmp_path):
    out = tmp_path / "out"
    first, _ = run(pictures, out)
    again, none = run(pictures, out)
    assert none == 0
    assert all(image.resumed for image in again.images)
    assert [image.planes for image in again.images] == [image.planes for image in first.images]
    assert [image.files for image in again.images] == [image.files for image in first.images]

    picture(pictures[0], seed=9)
    (out / "b.map.tif").unlink()
    new = picture(tmp_path / "in" / "d.png", seed=4)
    third, _ = run([*pictures, new], out)
    assert [image.resumed for image in third.images] == [False, False, True, False]
    assert (out / "b.map.tif").is_file()


def test_another_model_or_tile_size_does_everything_again(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    other = brightness_classifier(threshold=0.3)
    assert not any(image.resumed for image in run(pictures, out, classifier=other)[0].images)
    report, _ = run(
        pictures, out, classifier=other, options=ClassifyOptions(tile_px=32, cache=False)
    )
    assert not any(image.resumed for image in report.images)
    assert report.images[0].planes[0]["tile_px"] == 32


def test_on_request_everything_is_done_again(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    report, calls = run(pictures, tmp_path / "out", resume=False)
    assert calls > 0
    assert not any(image.resumed for image in report.images)


def test_a_cancelled_run_is_taken_up_where_it_stopped(pictures, tmp_path):
    cancel = Job()
    seen = []

    def stop(reading):
        seen.append(reading.stage)
        if "(2 of 3)" in reading.stage and reading.done:
            cancel.cancel()

    with pytest.raises(Cancelled):
        run(pictures, tmp_path / "out", job=cancel.telling(stop))
    assert seen[0] == "a.png (1 of 3)"
    assert {name.split(".")[0] for name in files_in(tmp_path / "out")} == {"a"}
    report, _ = run(pictures, tmp_path / "out")
    assert [image.resumed for image in report.images] == [True, False, False]


def test_images_of_one_name_in_two_folders_do_not_overwrite_each_other(tmp_path):
    paths = [picture(tmp_path / folder / "a.png", seed) for seed, folder in enumerate("xyz")]
    report, _ = run(paths, tmp_path / "out")
    assert [image.stem for image in report.images] == ["a", "a-2", "a-3"]
    again, _ = run(paths[::-1], tmp_path / "out")
    assert [image.stem for image in again.images] == ["a-3", "a-2", "a"]
    assert all(image.resumed for image in again.images)


def test_a_plane_of_a_stack_and_an_image_named_like_it_have_a_map_each(tmp_path):
    stack = tmp_path / "a.tif"
    tifffile.imwrite(stack, np.full((3, 64, 96), 200, np.uint8), photometric="minisblack")
    paths = [stack, picture(tmp_path / "in" / "a_z0001.png")]
    report, _ = run(paths, tmp_path / "out")
    files = [path for image in report.done for path in image.files]
    assert len(set(files)) == len(files) == 16
    again, _ = run(paths, tmp_path / "out")
    assert all(image.resumed for image in again.images)


def test_files_that_are_not_whole_are_done_again_and_those_of_the_other_images_stay(
    pictures, tmp_path
):
    out = tmp_path / "out"
    run(pictures, out)
    half = (out / "a.map.tif").read_bytes()[:100]
    (out / "a.map.tif").write_bytes(half)
    report, _ = run(pictures, out)
    assert [image.resumed for image in report.images] == [False, True, True]
    assert {path.name for path in report.images[0].files} == {f"a-2.{end}" for end in ENDINGS}
    assert "a.map.tif" in report.images[0].renamed
    assert (out / "a.map.tif").read_bytes() == half  # who cut it may have wanted that
    assert all(image.resumed for image in run(pictures, out)[0].images)


def test_a_file_of_another_time_is_compared_and_one_of_another_content_done_again(
    pictures, tmp_path
):
    out = tmp_path / "out"
    run(pictures, out)
    table = out / "b.tiles.csv"
    os.utime(out / "a.tiles.csv", (1, 1))
    table.write_bytes(table.read_bytes().replace(b"dark", b"bark"))
    report, _ = run(pictures, out)
    assert [image.resumed for image in report.images] == [True, False, True]


def test_what_one_model_found_is_never_told_of_the_files_of_another(pictures, tmp_path):
    """As after a run with another model that was killed before it noted anything."""
    out = tmp_path / "out"
    run(pictures[:1], out)
    noted = note_of(out)
    other = brightness_classifier(threshold=0.3)
    run(pictures[:1], out, classifier=other)
    (out / RECORD_NAME).write_text(noted)
    assert not run(pictures[:1], out)[0].images[0].resumed


def test_her_own_files_are_never_replaced(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    hers = {"a.overlay.png": "a picture", "classified.jsonl": "a list", "batch.csv": "a table"}
    for name, text in hers.items():
        (out / name).write_text(text)
    other = picture(tmp_path / "in" / "a-2.png", seed=7)
    paths = [pictures[0], other]
    first, _ = run(paths, out)
    assert [image.stem for image in first.images] == ["a-2", "a-2-2"]
    second, calls = run(paths, out)
    assert calls == 0
    assert [image.files for image in second.images] == [image.files for image in first.images]
    run(paths, out, classifier=brightness_classifier(threshold=0.3))
    reports = write_batch_report(second, out, CLASSIFIER.card)
    assert [path.name for path in reports] == ["batch-2.csv", "batch-2.html"]
    assert {name: (out / name).read_text() for name in hers} == hers
    assert len(files_in(out)) == len(hers) + 2 * 4 + 2


def test_a_run_in_a_folder_where_another_works_is_told_before_any_work(pictures, tmp_path):
    with output_folder(tmp_path / "out"), pytest.raises(OutputError, match="Another run"):
        run(pictures, tmp_path / "out")
    assert not (tmp_path / "out" / "a.map.tif").exists()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"about": {"image": 5}}', "\0" * 99])
def test_a_damaged_record_of_what_is_finished_is_an_empty_one(pictures, tmp_path, note):
    out = tmp_path / "out"
    out.mkdir()
    (out / RECORD_NAME).write_text(note)
    report, _ = run(pictures[:1], out)
    assert [image.resumed for image in report.images] == [False]
    assert len(BatchState(FolderRecord(out), "").images) == 1


def test_a_kill_in_mid_line_of_the_note_costs_that_image_alone(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    note = out / RECORD_NAME
    note.write_bytes(note.read_bytes()[:-40])
    report, _ = run(pictures, out)
    assert [image.resumed for image in report.images] == [True, True, False]
    again, calls = run(pictures, out)
    assert calls == 0
    assert all(image.resumed for image in again.images)


def test_the_note_grows_by_a_line_an_image_and_is_never_rewritten(pictures, tmp_path):
    out = tmp_path / "out"
    notes = []
    for _ in range(2):
        run(pictures, out, resume=False, on_image=lambda _: notes.append(note_of(out)))
    assert [len(note.splitlines()) for note in notes] == [1, 2, 3, 4, 5, 6]
    assert all(later.startswith(earlier) for earlier, later in pairwise(notes))


def note_of(out):
    return (out / RECORD_NAME).read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_made_is_told_before_any_work(pictures, tmp_path):
    (tmp_path / "out").write_text("a file")
    engine = TinyEngine()
    with pytest.raises(OutputError):
        classify_many(
            pictures,
            CLASSIFIER,
            BatchTarget(tmp_path / "out"),
            ClassifyOptions(cache=False),
            engine=engine,
        )
    assert engine.calls == 0
