"""Ours and theirs: what this program wrote may be replaced, and nothing else ever is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.folder_lock import LOCK_NAME, folder_lock
from napari_sem_classify.core.common.folder_record import RECORD_NAME, FolderRecord, fingerprint
from napari_sem_classify.core.common.output_folder import (
    check_target,
    output_file,
    output_folder,
)
from napari_sem_classify.core.common.temporaries import MARK, sweep, temporary_name


def put(folder, texts, asked="a", **more):
    """Write files of the given texts; their names, and what the user is told."""
    with output_folder(folder) as out, out.staging() as staging:
        for name, text in texts.items():
            (staging / name).write_text(text)
        paths = out.put(staging, asked, **more)
    return [path.name for path in paths.values()], out.told


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD_NAME)


def test_a_second_run_replaces_what_the_first_wrote(tmp_path):
    assert put(tmp_path, {"a.csv": "1", "a.png": "1"}) == (["a.csv", "a.png"], [])
    assert put(tmp_path, {"a.csv": "2", "a.png": "2"}) == (["a.csv", "a.png"], [])
    assert (tmp_path / "a.csv").read_text() == "2"
    assert visible(tmp_path) == ["a.csv", "a.png"]


def test_her_own_file_stays_and_all_files_of_the_image_get_one_other_start(tmp_path):
    (tmp_path / "a.png").write_text("hers")
    names, told = put(tmp_path, {"a.csv": "1", "a.png": "1"})
    assert names == ["a-2.csv", "a-2.png"]
    assert len(told) == 1
    assert str(tmp_path / "a.png") in told[0]
    assert put(tmp_path, {"a.csv": "2", "a.png": "2"})[0] == names  # no third set
    assert (tmp_path / "a.png").read_text() == "hers"
    assert (tmp_path / "a-2.png").read_text() == "2"


def test_a_file_that_she_changed_is_hers(tmp_path):
    put(tmp_path, {"a.csv": "1"})
    (tmp_path / "a.csv").write_text("2")
    assert put(tmp_path, {"a.csv": "3"})[0] == ["a-2.csv"]
    assert (tmp_path / "a.csv").read_text() == "2"


def test_another_image_never_gets_the_files_of_the_one_that_had_to_give_way(tmp_path):
    (tmp_path / "a.csv").write_text("hers")
    put(tmp_path, {"a.csv": "of a"})
    assert put(tmp_path, {"a-2.csv": "of a-2"}, "a-2")[0] == ["a-2-2.csv"]
    assert (tmp_path / "a-2.csv").read_text() == "of a"


def test_a_folder_is_ours_only_with_nothing_of_hers_in_it(tmp_path):
    def write(text):
        with output_folder(tmp_path) as out, out.staging() as staging:
            (staging / "a.zarr" / "0").mkdir(parents=True)
            (staging / "a.zarr" / "0" / "c").write_text(text)
            return out.put(staging, "a")["a.zarr"].name

    assert [write("1"), write("2")] == ["a.zarr", "a.zarr"]
    (tmp_path / "a.zarr" / "notes.txt").write_text("hers")
    assert write("3") == "a-2.zarr"
    assert (tmp_path / "a.zarr" / "notes.txt").read_text() == "hers"
    assert visible(tmp_path) == ["a-2.zarr", "a.zarr"]


def test_a_link_in_the_way_is_never_followed(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere.csv"
    put(out, {"a.csv": "1"})
    (out / "a.csv").rename(elsewhere)
    (out / "a.csv").symlink_to(elsewhere)
    assert put(out, {"a.csv": "2"})[0] == ["a-2.csv"]
    assert elsewhere.read_text() == "1"


@pytest.mark.parametrize("damage", ["cut", "noise", "gone", "flipped"])
def test_without_its_record_a_folder_is_hers(tmp_path, damage):
    put(tmp_path, {"a.csv": "1"})
    record = tmp_path / RECORD_NAME
    whole = record.read_bytes()
    if damage == "gone":
        record.unlink()
    else:
        flipped = whole.replace(b'"a.csv"', b'"b.csv"')
        record.write_bytes({"cut": whole[:-9], "noise": b"\xff{[\n", "flipped": flipped}[damage])
    assert put(tmp_path, {"a.csv": "2"})[0] == ["a-2.csv"]
    assert put(tmp_path, {"a.csv": "3"})[0] == ["a-2.csv"]  # what came after it counts


def test_a_record_goes_along_with_a_copy_and_names_nothing_outside(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    put(first, {"a.csv": "1"})
    shutil.copytree(first, second)
    assert put(second, {"a.csv": "2"})[0] == ["a.csv"]
    assert (first / "a.csv").read_text() == "1"
    record = FolderRecord(second)
    record.note(record.written[0].__class__("x", "x", {"../first/a.csv": fingerprint(first)}))
    assert len(FolderRecord(second).written) == len(record.written) - 1


def test_a_target_that_she_named_is_refused_unless_ours_or_confirmed(tmp_path):
    path = tmp_path / "m.safetensors"
    for text in "12":
        with output_file(path) as temporary:
            temporary.write_text(text)
    path.write_text("hers")
    with pytest.raises(OutputError, match=r"m\.safetensors is there"):
        check_target(path)
    with pytest.raises(OutputError), output_file(path):
        raise AssertionError("work before the refusal")
    assert path.read_text() == "hers"
    with output_file(path, confirmed=True) as temporary:
        temporary.write_text("3")
    assert path.read_text() == "3"
    assert visible(tmp_path) == ["m.safetensors"]


def test_a_folder_of_hers_is_not_replaced_on_a_confirmation(tmp_path):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "notes.txt").write_text("hers")
    with pytest.raises(OutputError), output_file(path, confirmed=True) as temporary:
        temporary.mkdir()
    assert (path / "notes.txt").read_text() == "hers"
    (path / "notes.txt").unlink()
    path.rmdir()
    for text in "12":
        with output_file(path, confirmed=True) as temporary:
            temporary.mkdir()
            (temporary / "c").write_text(text)
    assert (path / "c").read_text() == "2"


def test_what_fails_leaves_everything_as_it_was(tmp_path):
    put(tmp_path, {"a.csv": "1"})
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path) as out, out.staging() as staging:
        (staging / "a.csv").write_text("2")
        raise ZeroDivisionError
    assert (tmp_path / "a.csv").read_text() == "1"
    assert visible(tmp_path) == ["a.csv"]


def test_only_one_run_works_in_a_folder(tmp_path):
    with output_folder(tmp_path) as out:
        with pytest.raises(OutputError, match="Another run"), output_folder(tmp_path):
            pass
        with output_folder(out) as same:
            assert same is out
    with output_folder(tmp_path):
        pass
    assert not (tmp_path / LOCK_NAME).exists()


HOLD = """
import sys, time
from pathlib import Path
from napari_sem_classify.core.common.files import atomic_path
from napari_sem_classify.core.common.output_folder import output_folder
with output_folder(Path(sys.argv[1])) as out, out.staging() as staging:
    (staging / "half.tif").write_text("half")
    with atomic_path(out.path / "whole.tif"):
        print("there", flush=True)
        time.sleep(60)
"""


def test_a_killed_run_holds_no_lock_and_what_it_left_is_swept(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    with process, process.stdout:
        process.stdout.readline()
        with pytest.raises(OutputError, match="Another run"), folder_lock(tmp_path):
            pass
        sweep(tmp_path)
        assert len(visible(tmp_path)) == 3  # lock, staging and file: it lives
        process.kill()
    with output_folder(tmp_path):
        assert visible(tmp_path) == [LOCK_NAME]


def test_nothing_but_our_temporaries_is_swept(tmp_path):
    host = temporary_name().removeprefix(MARK).split("-")[0]
    dead = f"{MARK}{host}-{2**22 + 1}-0a0a0a-1.tif"
    other = f"{MARK}ffffff-1-0a0a0a-1"
    hers = [".scan-abcdefgh", "scan.map.tif", f"{MARK}notes", f"{dead}.doc.final-version-of-mine"]
    for name in [*hers, dead, other]:
        (tmp_path / name).mkdir()
    old = f"{MARK}ffffff-2-0a0a0a-1"
    (tmp_path / old).touch()
    os.utime(tmp_path / old, (0, time.time() - 8 * 86400))
    (tmp_path / temporary_name(".tif")).touch()
    sweep(tmp_path)
    assert {dead, old} & set(visible(tmp_path)) == set()
    assert {*hers, other} <= set(visible(tmp_path))
    assert len(visible(tmp_path)) == len(hers) + 2


def test_a_temporary_name_is_short_however_long_the_file_is_called():
    assert len(temporary_name("." + "x" * 200)) < 60


def test_a_file_that_took_hours_is_put_beside_the_files_of_a_run_that_is_at_work(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_sem_classify.core.common.output_folder._WAIT_S", 0.0)
    with output_folder(tmp_path), output_file(tmp_path / "model.txt") as temporary:
        temporary.write_text("trained")
    assert (tmp_path / "model.txt").read_text() == "trained"
