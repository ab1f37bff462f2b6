"""Two windows or programs on one annotations file: nothing that either said is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sem_classify.core.annotate import keeper as keeping
from napari_sem_classify.core.annotate.annotation_file import beside, load_annotations
from napari_sem_classify.core.annotate.history import History
from napari_sem_classify.core.annotate.keeper import Keeper, find_kept
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.folder_lock import file_lock
from napari_sem_classify.core.sem_io import open_image

A, B, C, D = ((0, 16 * col, 16) for col in range(4))


class Window:
    """A viewer's annotations of one image, without the viewer."""

    def __init__(self, path: Path) -> None:
        image = open_image(path)
        kept = find_kept(image)
        self.key, self.keeper, self.book = kept.key, Keeper(), History()
        self.keeper.opened(kept)
        self.book.take_in(image, kept.key, kept.annotations)

    def say(self, tiles):
        for name in dict.fromkeys(tiles.values()):
            if name is not None and name not in self.book.annotations.class_names:
                self.book.edit(self.book.annotations.with_class(name))
        self.book.mark(self.key, tiles)
        self.save()

    def save(self):
        self.keeper.save(self.book.annotations)
        self.keeper.flush()

    def take_news(self):
        for before, after in self.keeper.take_news():
            self.book.follow(before, after)

    @property
    def tiles(self):
        return _names(self.book.annotations)


def _names(annotations):
    return {at: mark.class_name for at, mark in annotations.images[0].marks.items()}


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "coating.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(1, 255, (320, 128), dtype=np.uint8))
    return path


@pytest.fixture
def kept(picture):
    """What the file says."""
    return lambda: _names(load_annotations(beside(picture)))


def test_each_keeps_its_tiles_and_learns_of_the_others(picture, kept):
    first, second = Window(picture), Window(picture)
    first.say({A: "oxide"})
    second.say({B: "crack"})
    assert kept() == {A: "oxide", B: "crack"}
    second.take_news()
    assert second.tiles == kept()
    first.say({C: "oxide"})
    assert kept() == {A: "oxide", B: "crack", C: "oxide"}
    first.take_news()
    assert first.tiles == kept()
    assert "1 tile" in first.keeper.note


def test_undo_takes_back_what_was_done_here_alone(picture, kept):
    first, second = Window(picture), Window(picture)
    first.say({A: "oxide"})
    second.say({B: "crack"})
    second.take_news()
    second.book.undo()
    second.save()
    assert kept() == {A: "oxide"}
    first.say({A: None, C: "oxide"})
    assert kept() == {C: "oxide"}
    second.take_news()
    second.say({D: "crack"})
    assert kept() == {C: "oxide", D: "crack"}, "a tile that was erased stays erased"


def test_of_a_tile_that_both_annotated_the_later_word_counts_and_is_told(picture, kept):
    Window(picture).say({A: "oxide", B: "oxide"})
    first, second = Window(picture), Window(picture)
    first.say({A: "crack"})
    second.say({A: "matrix"})
    assert kept() == {A: "matrix", B: "oxide"}
    assert "Both changed 1" in second.keeper.note
    first.say({C: "oxide"})
    first.take_news()
    assert first.tiles == kept() == {A: "matrix", B: "oxide", C: "oxide"}
    assert "1 tile" in first.keeper.note


def test_classes_and_rules_of_both_are_there(picture):
    Window(picture).say({A: "oxide"})
    first, second = Window(picture), Window(picture)
    first.book.edit(first.book.annotations.renamed("oxide", "scale"))
    first.save()
    second.say({B: "oxide", C: "crack"})
    second.book.edit(second.book.annotations.with_rule("crack", 0.02))
    second.save()
    found = load_annotations(beside(picture))
    assert _names(found) == {A: "scale", B: "oxide", C: "crack"}
    assert set(found.class_names) == {"scale", "oxide", "crack"}
    assert found.rules == {"crack": 0.02}
    assert len({info.colour for info in found.classes}) == 3


def test_a_file_that_is_deleted_or_replaced_by_an_older_copy_costs_nothing(picture, kept, tmp_path):
    window = Window(picture)
    window.say({A: "oxide"})
    shutil.copy(beside(picture), tmp_path / "copy")
    window.say({A: None, B: "oxide"})
    shutil.copy(tmp_path / "copy", beside(picture))
    window.say({C: "oxide"})
    assert kept() == {B: "oxide", C: "oxide"}
    assert "older copy" in window.keeper.note
    beside(picture).unlink()
    window.say({D: "oxide"})
    assert kept() == {B: "oxide", C: "oxide", D: "oxide"}


def test_a_file_that_was_damaged_meanwhile_is_left_and_nothing_is_lost(picture):
    window = Window(picture)
    window.say({A: "oxide"})
    beside(picture).write_bytes(b"{")
    window.say({B: "oxide"})
    assert beside(picture).read_bytes() == b"{"
    assert window.keeper.problem == ""
    assert Window(picture).tiles == {A: "oxide", B: "oxide"}


@pytest.mark.parametrize("error", [OutputError("The disk is full."), ValueError("unforeseen")])
def test_whatever_stands_in_the_way_is_told_and_tried_again(picture, kept, monkeypatch, error):
    def refuse(*_args):
        raise error

    window = Window(picture)
    window.say({A: "oxide"})
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_annotations", refuse)
        window.say({B: "oxide"})
        assert "not saved yet" in window.keeper.problem
        assert window.keeper.busy
    _wait_until(lambda: not window.keeper.busy)
    assert window.keeper.problem == ""
    assert kept() == {A: "oxide", B: "oxide"}


def test_a_file_that_another_program_holds_is_waited_for(picture, kept, monkeypatch):
    monkeypatch.setattr(keeping, "WAIT_S", 0.05)
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)
    window = Window(picture)
    with file_lock(beside(picture), 0.0):
        window.say({A: "oxide"})
        assert "being written by another program" in window.keeper.problem
    _wait_until(lambda: not window.keeper.busy)
    assert kept() == {A: "oxide"}


def test_an_image_whose_name_is_no_text_is_kept_too(tmp_path):
    path = tmp_path / "a\udcff.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(1, 255, (64, 64), dtype=np.uint8))
    window = Window(path)
    window.say({A: "oxide"})
    assert window.keeper.problem == ""
    assert Window(path).tiles == {A: "oxide"}


def _wait_until(condition, seconds=20.0):
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


ANNOTATE = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from core.annotate.test_two_at_once import Window

window, row, times = Window(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
for col in range(times):
    window.say({(16 * row, 16 * col, 16): f"class {row}"})
    window.take_news()
window.keeper.flush()
assert not window.keeper.busy, window.keeper.problem
"""


@pytest.mark.slow
def test_two_processes_lose_nothing_of_each_other(picture, kept):
    for row in range(0, 20, 2):
        tests = str(Path(__file__).parents[2])
        command = [sys.executable, "-c", ANNOTATE, tests, str(picture)]
        both = [subprocess.Popen([*command, str(row + more), "8"]) for more in (0, 1)]
        assert [each.wait(120) for each in both] == [0, 0]
    expected = {(16 * row, 16 * col, 16): f"class {row}" for row in range(20) for col in range(8)}
    assert kept() == expected
    assert not list(picture.parent.glob(".sem-classify-*"))
