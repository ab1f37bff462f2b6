"""What nobody foresaw: the details go into one file, the user reads one sentence."""

from __future__ import annotations

import pytest

from napari_sem_classify.core.common import log
from napari_sem_classify.core.common.log import log_file, log_unexpected


@pytest.fixture(autouse=True)
def own_log(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_a, **_k: tmp_path / "log")


def failure():
    try:
        return {}["no such key"]
    except KeyError as error:
        return error


def test_the_sentence_names_the_file_that_holds_the_traceback():
    sentence = log_unexpected(failure(), "counting tiles")
    assert sentence.startswith("Something unexpected went wrong while counting tiles (KeyError)")
    assert str(log_file()) in sentence
    assert "\n" not in sentence
    text = log_file().read_text(encoding="utf-8")
    assert "while counting tiles" in text
    assert "KeyError: 'no such key'" in text


def test_a_long_log_is_put_aside_once_and_does_not_grow_for_ever(monkeypatch):
    monkeypatch.setattr(log, "MAX_BYTES", 400)
    for _ in range(10):
        log_unexpected(failure(), "counting tiles")
    files = list(log_file().parent.iterdir())
    assert sorted(path.name for path in files) == ["errors.log", "errors.old.log"]
    assert all(path.stat().st_size < 400 + 2000 for path in files)


def test_without_a_writable_folder_the_sentence_holds_the_error(tmp_path):
    (tmp_path / "log").write_text("a file where the folder should be")
    sentence = log_unexpected(failure(), "counting tiles")
    assert "no such key" in sentence
    assert "please report it" in sentence


def test_a_fault_behind_a_command_goes_into_the_same_log(monkeypatch):
    from typer.testing import CliRunner

    from napari_sem_classify.cli import app

    def broken(*_what):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("napari_sem_classify.core.sem_io.open_with_levels", broken)
    done = CliRunner().invoke(app, ["info", "image.tif"])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "while running info (ZeroDivisionError)" in done.stderr
    assert str(log_file()) in done.stderr
    assert "a fault" in log_file().read_text(encoding="utf-8")
