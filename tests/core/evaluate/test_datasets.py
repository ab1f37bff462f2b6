"""A public set comes whole, checked and unpacked, or not at all; from a server of this test."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import replace

import pytest
from file_server import serving
from labelled_images import grains
from PIL import Image

from napari_sem_classify.core.common.errors import Cancelled, DatasetError, OutputError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate import public_sets as datasets
from napari_sem_classify.core.evaluate.public_sets import DATASETS, NFFA, fetch_dataset

PREFIXES = [9, 4, 6, 2, 3, 0, 1, 5, 7, 8]
"""The files' prefixes do not follow the alphabet of the classes."""


LARGEST = "Tips.tar"
"""Large enough to be cut in the middle."""


def picture(number, rows=48):
    """A frame of one class: its grain, and a bright info bar."""
    file = io.BytesIO()
    grey = grains(rows, rows * 4 // 3, 2 + number % 11, number)
    grey[rows * 7 // 8 :] = 255
    Image.fromarray(grey).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def tar_of(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture(scope="module")
def archives():
    """Ten archives laid out and named as the public ones, five images each."""
    made = {}
    for number, (name, prefix) in enumerate(zip(NFFA.md5, PREFIXES, strict=True)):
        folder = name.removesuffix(".tar")
        members = []
        for index in range(5):
            content = picture(11 * index + number, 768 if name == LARGEST else 48)
            members.append((f"{folder}/L{prefix}_{hashlib.md5(content).hexdigest()}.jpg", content))
        made[name] = tar_of([*members, (f"{folder}/._junk.jpg", b"x"), (f"{folder}/note", b"x")])
    return made


@pytest.fixture
def server(archives, monkeypatch):
    """The record on a server of our own."""
    with serving() as server:
        entries = []
        for name, content in archives.items():
            path = f"/files/{name}/content"
            server.files[path] = content
            links = {"content": f"{server.address}{path}"}
            entries.append({"key": name, "size": len(content), "links": links})
        server.files["/files"] = json.dumps({"entries": entries}).encode()
        md5 = {name: hashlib.md5(content).hexdigest() for name, content in archives.items()}
        info = replace(NFFA, record=f"{server.address}/files", md5=md5)
        monkeypatch.setitem(DATASETS, "nffa", info)
        monkeypatch.setattr(datasets, "SPARE_BYTES", 0)
        yield server


def in_folder(folder):
    return sorted(path.name for path in folder.iterdir())


CLASSES = sorted(name.removesuffix(".tar") for name in NFFA.md5)


def test_ten_classes_come_with_their_source_and_no_archive_is_left(server, tmp_path):
    counts = fetch_dataset("nffa", tmp_path / "nffa")
    assert counts == dict.fromkeys(CLASSES, 5)
    assert in_folder(tmp_path / "nffa") == sorted([*CLASSES, "SOURCE.txt"])
    assert "CC BY" in (tmp_path / "nffa" / "SOURCE.txt").read_text(encoding="utf-8")
    asked = len(server.asked)
    assert fetch_dataset("nffa", tmp_path / "nffa") == counts
    assert len(server.asked) == asked


def test_a_cut_archive_goes_on_where_it_stopped_and_done_classes_are_not_fetched_again(
    server, tmp_path
):
    cancel = Job()
    with pytest.raises(Cancelled):
        fetch_dataset(
            "nffa",
            tmp_path,
            job=cancel.telling(lambda at: at.stage == "Downloading Tips, MB" and cancel.cancel()),
        )
    assert [name for name in in_folder(tmp_path) if not name.startswith(".")] == CLASSES[:-1]
    server.asked.clear()
    assert sum(fetch_dataset("nffa", tmp_path).values()) == 50
    assert [path for path, _ in server.asked] == ["/files", f"/files/{LARGEST}/content"]
    assert int(server.asked[1][1].removeprefix("bytes=").rstrip("-")) > 0
    assert in_folder(tmp_path) == sorted([*CLASSES, "SOURCE.txt"])


def test_a_wrong_checksum_is_refused_and_the_classes_before_it_stay(server, tmp_path):
    path = f"/files/{LARGEST}/content"
    server.files[path] = server.files[path][:-600] + b"?" * 600
    with pytest.raises(DatasetError, match=rf"is not {LARGEST} .*not kept"):
        fetch_dataset("nffa", tmp_path)
    assert in_folder(tmp_path) == sorted(set(CLASSES) - {"Tips"})


def test_too_small_a_disk_is_told_before_anything_is_downloaded(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
    with pytest.raises(OutputError, match=r"needs 0\.0 GB .* larger disk"):
        fetch_dataset("nffa", tmp_path)
    assert len(server.asked) == 1
    assert in_folder(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "listing", "told"),
    [
        (404, None, "answered 404"),
        (None, b"<html>sign in</html>", "does not list the files"),
        (None, b'{"entries": []}', "does not list the files"),
    ],
)
def test_a_record_that_is_gone_or_changed_is_one_sentence(server, tmp_path, status, listing, told):
    server.status = status
    if listing is not None:
        server.files["/files"] = listing
    with pytest.raises(DatasetError, match=told):
        fetch_dataset("nffa", tmp_path)


def test_an_unknown_set_names_those_that_are_known(tmp_path):
    with pytest.raises(DatasetError, match="choose nffa"):
        fetch_dataset("imagenet", tmp_path)


def test_the_users_own_files_in_the_folder_stay(server, archives, tmp_path):
    by_hand, own, source = (tmp_path / name for name in ("Fibres.tar", LARGEST, "SOURCE.txt"))
    by_hand.write_bytes(archives["Fibres.tar"])
    own.write_bytes(b"mine")
    source.write_text("mine")
    assert sum(fetch_dataset("nffa", tmp_path).values()) == 50
    assert "/files/Fibres.tar/content" not in [path for path, _ in server.asked]
    assert by_hand.read_bytes() == archives["Fibres.tar"]
    assert own.read_bytes() == b"mine"
    assert source.read_text() == "mine"
    expected = [*CLASSES, "Fibres.tar", LARGEST, "SOURCE.txt", "SOURCE-nffa.txt"]
    assert in_folder(tmp_path) == sorted(expected)


def test_a_class_folder_with_something_else_in_it_is_told(server, tmp_path):
    (tmp_path / "Tips").mkdir()
    (tmp_path / "Tips" / "notes.md").write_text("mine")
    with pytest.raises(OutputError, match="Tips is there already and holds no image"):
        fetch_dataset("nffa", tmp_path)
    assert in_folder(tmp_path / "Tips") == ["notes.md"]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://a b/", "http://\x1b[2J/x", "ftp://127.0.0.1/x"]
)
def test_a_record_that_points_to_no_web_address_is_one_sentence(server, tmp_path, url):
    listing = json.loads(server.files["/files"])
    listing["entries"][3]["links"]["content"] = url
    server.files["/files"] = json.dumps(listing).encode()
    with pytest.raises(DatasetError, match="does not list the files"):
        fetch_dataset("nffa", tmp_path)
    assert in_folder(tmp_path) == []


def test_two_commands_fetch_the_set_and_train_on_it(server, tmp_path):
    from typer.testing import CliRunner

    from napari_sem_classify.cli import app

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    folder, model = tmp_path / "nffa", tmp_path / "ten.safetensors"
    fetched = run("datasets", "fetch", "nffa", "--out", folder, "--json")
    assert fetched.exit_code == 0, fetched.stderr
    assert "CC BY" in fetched.stderr
    small = ("--sizes", 32, "--epochs", 1, "--crop-rows", "0:81.25%", "--device", "cpu", "--json")
    trained = run("train", folder, "--preset", "article", "--out", model, *small)
    assert trained.exit_code == 0, trained.stderr
    told = json.loads(trained.stdout)
    assert told["images"] == dict.fromkeys(CLASSES, 5)  # by folder, not by prefix
    assert model.is_file()
    listed = run("datasets", "list")
    assert "nffa" in listed.stdout
