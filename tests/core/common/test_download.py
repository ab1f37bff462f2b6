"""Whatever a server does: a download ends, is whole or not there, and says truly what is kept."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from bad_servers import CONTENT, LARGER, SERVERS, SILENT, WELL, answering, good

from napari_sem_classify.core.common.download import Remote, download
from napari_sem_classify.core.common.errors import Cancelled, ModelError, OutputError
from napari_sem_classify.core.common.job import Job


def remote(address, quiet_s=20.0):
    def check(path):
        return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(CONTENT).digest()

    return Remote(f"{address}/w.pth", "the file", check, ModelError, LARGER, quiet_s=quiet_s)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", SERVERS)
def test_it_ends_with_the_file_or_one_true_sentence(name, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"an earlier file")
    with answering(SERVERS[name]) as address:
        start = time.monotonic()
        if name in WELL:
            download(remote(address), path)
            assert path.read_bytes() == CONTENT
            assert names(tmp_path) == [path.name]
            return
        with pytest.raises(ModelError) as told:
            download(remote(address, 0.3 if name in SILENT else 20.0), path)
        assert time.monotonic() - start < 20
    sentence = str(told.value)
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert path.read_bytes() == b"an earlier file"
    kept = "are kept, and the next try goes on there" in sentence
    assert names(tmp_path) == ([".part-w.pth", ".part-w.pth.json"] if kept else []) + ["w.pth"]


def test_what_is_kept_is_gone_on_with(tmp_path):
    path, starts = tmp_path / "w.pth", []

    def behaviour(client):
        starts.append(client.start)
        (SERVERS["sends that page later"] if len(starts) < 3 else good)(client)

    with answering(behaviour) as address:
        with pytest.raises(ModelError, match=r"a web page instead.* the 0\.4 MB .* are kept"):
            download(remote(address), path)
        assert download(remote(address), path).read_bytes() == CONTENT
    assert starts == [None, 400_000, 400_000]


def test_a_damaged_beginning_is_thrown_away_and_the_file_comes_whole(tmp_path):
    path = tmp_path / "w.pth"
    with answering(good) as address:
        port = int(address.rpartition(":")[2])
    cut = answering(SERVERS["sends that page later"], port)
    with cut as address, pytest.raises(ModelError):
        download(remote(address), path)
    with (tmp_path / ".part-w.pth").open("rb+") as file:
        file.write(b"damage")
    with answering(good, port) as address:
        assert download(remote(address), path).read_bytes() == CONTENT
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["drips", "drips its headers", "says nothing", "never ends"])
def test_it_can_be_cancelled_at_any_moment(name, tmp_path):
    job = Job()
    with answering(SERVERS[name]) as address:
        timer = threading.Timer(0.3, job.cancel)
        timer.start()
        start = time.monotonic()
        unlimited = Remote(address, "the file", bool, ModelError, 10**15, quiet_s=30)
        with pytest.raises(Cancelled, match=r"^Stopped; .* kept"):
            download(unlimited, tmp_path / "w.pth", job=job)
        assert time.monotonic() - start < 2
    deadline = time.monotonic() + 5
    while any(each.name == "download" for each in threading.enumerate()):
        assert time.monotonic() < deadline, "the reading thread goes on"
        time.sleep(0.02)


def test_a_second_download_of_the_file_is_told_and_harms_nothing(tmp_path):
    path, told = tmp_path / "w.pth", []

    def second(address):
        try:
            download(remote(address), path)
        except OutputError as error:
            told.append(str(error))

    def behaviour(client):
        thread = threading.Thread(target=second, args=(client.own,))
        thread.start()
        thread.join()
        good(client)

    with answering(behaviour) as address:
        assert download(remote(address), path).read_bytes() == CONTENT
    assert len(told) == 1
    assert "Another run" in told[0]
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_not_a_part_of_ours_is_left_alone(kind, tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    part = tmp_path / ".part-w.pth"
    if kind == "file":
        part.write_bytes(b"mine")
    else:
        part.symlink_to(mine)
    with answering(good) as address, pytest.raises(OutputError, match="stands in the way"):
        download(remote(address), tmp_path / "w.pth")
    assert part.read_bytes() == mine.read_bytes() == b"mine"
