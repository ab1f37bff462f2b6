"""A tar gives a folder of images that is whole, or one sentence and nothing."""

from __future__ import annotations

import pytest
from bad_tars import GOOD, PICTURE, TARS, entry, tar, write_tar

from napari_sem_classify.core.common.errors import Cancelled, DatasetError, OutputError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate import image_tar
from napari_sem_classify.core.evaluate.image_tar import unpack_images

LARGE = {"a million files", "a million folders", "a million extensions"}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "mine.jpg").write_bytes(b"mine")
    return folder


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_images_come_into_one_folder_without_the_rest(place):
    archive = place / "Tips.tar"
    link = entry("Tips/link.jpg", b"", type=b"2", linkname="/etc/passwd")
    archive.write_bytes(tar(link, GOOD, entry("a/b/c.JPG"), entry("x.txt"), entry("Tips/._x.jpg")))
    readings = []
    assert unpack_images(archive, place / "Tips", job=Job(readings.append)) == 2
    assert everything(place / "Tips") == ["c.JPG", "good.jpg"]
    assert (place / "Tips" / "good.jpg").read_bytes() == PICTURE
    assert everything(place) == ["Tips", "Tips.tar", "Tips/c.JPG", "Tips/good.jpg", "mine.jpg"]


@pytest.mark.parametrize("name", sorted(set(TARS) - LARGE))
def test_what_should_not_be_believed_is_one_sentence_and_nothing_is_unpacked(name, place):
    archive = place / "Tips.tar"
    with archive.open("wb") as file:
        write_tar(name, file)
    before = everything(place.parent)
    with pytest.raises(DatasetError) as told:
        unpack_images(archive, place / "Tips")
    assert str(told.value).startswith("Tips.tar ")
    assert str(told.value).endswith(".")
    assert str(told.value).isprintable()
    assert everything(place.parent) == before
    assert (place / "mine.jpg").read_bytes() == b"mine"


def test_there_is_a_limit_to_entries(place, monkeypatch):
    monkeypatch.setattr(image_tar, "MOST_MEMBERS", 10)
    archive = place / "Tips.tar"
    archive.write_bytes(tar(*[GOOD] * 10))
    with pytest.raises(DatasetError, match="two images of one name"):
        unpack_images(archive, place / "Tips")
    archive.write_bytes(tar(*[entry("x.txt")] * 11))
    with pytest.raises(DatasetError, match="more than 10 entries"):
        unpack_images(archive, place / "Tips")


def test_a_folder_with_something_in_it_stays(place):
    archive = place / "Tips.tar"
    archive.write_bytes(tar(GOOD))
    (place / "Tips").mkdir()
    (place / "Tips" / "good.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="holds something else"):
        unpack_images(archive, place / "Tips")
    assert (place / "Tips" / "good.jpg").read_bytes() == b"mine"
    assert everything(place / "Tips") == ["good.jpg"]


def test_cancelling_leaves_nothing(place):
    archive = place / "Tips.tar"
    archive.write_bytes(tar(GOOD, entry("b.jpg")))
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        unpack_images(archive, place / "Tips", job=job)
    assert everything(place) == ["Tips.tar", "mine.jpg"]
