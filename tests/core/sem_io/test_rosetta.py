"""What RosettaSciIO hands over becomes an image; the library itself is an extra and not needed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sem_pictures import specimen

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io import list_images, memory_budget, open_image, rosetta


def axes(shape, units="nm", names="yx", navigate=False):
    return [
        {"size": n, "name": name, "units": units, "scale": 12.5, "index_in_array": at}
        | {"navigate": navigate}
        for at, (n, name) in enumerate(zip(shape, names, strict=True))
    ]


def signal(data, **keywords):
    return {"data": data, "axes": axes(data.shape, **keywords), "metadata": {}}


@pytest.fixture
def reads(monkeypatch):
    """Let RosettaSciIO give these signals; `lazily` says what it does when asked to be lazy."""

    def give(signals, lazily=None):
        def file_reader(path, lazy):
            if lazy and lazily is not None:
                raise lazily
            return signals

        monkeypatch.setattr(rosetta, "find_spec", lambda name: object())
        monkeypatch.setattr(
            rosetta, "import_module", lambda name: SimpleNamespace(file_reader=file_reader)
        )

    return give


def opened(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(40_000))
    return open_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.dm4", "a.elid", "a.ser", "a.emd"])
def test_what_cannot_be_read_lazily_is_read_whole(tmp_path, reads, name):
    picture = specimen(90, 110)
    reads([signal(picture)], lazily=NotImplementedError("Lazy loading is not supported."))
    image = opened(tmp_path, name)
    assert image.pixel_size_nm == 12.5
    np.testing.assert_array_equal(image.read(image.area), picture)


def test_the_largest_image_counts_and_no_map_of_energies(tmp_path, reads):
    large = specimen(90, 110)
    spectra = np.zeros((90, 2048), np.uint8)
    cube = np.zeros((200, 200, 64), np.uint8)
    reads(
        [
            signal(specimen(20, 30)),
            signal(spectra, names=("x", "Energy"), units="keV"),
            signal(cube, names=("y", "x", "Energy"), units="keV"),
            signal(large, navigate=True),
        ]
    )
    assert opened(tmp_path, "map.bcf").shape == (90, 110)


def test_colours_of_gatan_are_colour(tmp_path, reads):
    pixels = np.zeros((90, 110), [(name, "u1") for name in "RGBA"])
    pixels["R"], pixels["G"] = specimen(90, 110), 50
    reads([signal(pixels)], lazily=ValueError("Lazy loading of RGBA images is not supported."))
    image = opened(tmp_path, "c.dm3")
    assert (image.colour, image.shape) == ("colour", (90, 110))


def test_a_file_beyond_the_budget_is_not_read_whole(tmp_path, reads, monkeypatch):
    reads([signal(specimen(90, 110))], lazily=NotImplementedError())
    monkeypatch.setattr(memory_budget, "ALWAYS_FINE_BYTES", 1000)
    monkeypatch.setattr(memory_budget, "available_memory", lambda: 200_000)
    with pytest.raises(ImageError, match="of memory"):
        opened(tmp_path, "a.elid")


def test_spectra_alone_are_no_image(tmp_path, reads):
    reads([{"data": np.zeros(100), "axes": axes((100,), names=("Energy",))}])
    with pytest.raises(ImageError, match="holds no image"):
        opened(tmp_path, "s.dm3")


def test_a_damaged_file_is_one_sentence(tmp_path, reads):
    reads([], lazily=OSError("bad magic\nmore lines"))
    with pytest.raises(ImageError, match="bad magic"):
        opened(tmp_path, "d.dm4")


def test_a_folder_does_not_list_files_that_are_mostly_spectra(tmp_path):
    for name in ("a.dm4", "b.mrc", "c.ser"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in list_images([tmp_path])] == ["a.dm4"]
