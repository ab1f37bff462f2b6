"""The specimen of an image is read from its name and folder."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from napari_sem_classify.core.image.specimen_guess import guess_specimen


def together(*names: str) -> bool:
    return len({guess_specimen(Path(name)) for name in names}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("ebc__040617_3_S0410018.png", "ebc__040617_3_S0410028.png"),
        ("ebc__111418_4_1426_100Cyc0032.png", "ebc__111418_4_1426_100Cyc0034.png"),
        ("super__spot3_0d_3.png", "super__spot3_180d_2.png"),
        ("steel A3 20kV x500 SE_001.tif", "steel A3 5 kV x2000 BSE_017.tif"),
        ("a/ebc__040617_3_S0410018_r0000_c0001.tif", "b/ebc__040617_3_S0410019_r0004_c0000.tif"),
        ("oxide/bse_r0000_c0001.tif", "matrix/bse_r0004_c0000.tif"),
        ("steel A/image_001.tif", "steel A/image_002.tif"),
        ("steel A/1.tif", "steel A/2.tif"),
    ],
)
def test_images_of_one_specimen_are_known(names):
    assert together(*names)


@pytest.mark.parametrize(
    "names",
    [
        ("ebc__040617_2_S127_2_0015.png", "ebc__040617_3_S0410018.png"),
        ("ebc__032919_10_100cyc0017.png", "ebc__032919_6_100cyc0007.png"),
        ("super__spot3_0d_3.png", "super__spot4_0d_3.png"),
        ("sample_3_0012.tif", "sample_4_0012.tif"),
        ("333/ETRI_ 20 kV_SE_x500 __1.jpg", "523/ETRI_ 20 kV_SE_x500 __1.jpg"),
        ("steel A/image_001.tif", "steel B/image_001.tif"),
    ],
)
def test_images_of_two_specimens_are_told_apart(names):
    assert not together(*names)


def test_real_images_are_grouped_as_those_who_took_them_say(shared_data):
    with (shared_data / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["path"].endswith(".txt")]
    for folder in ("nasa/images", "ncm_cathode"):
        mine = [row for row in rows if row["path"].startswith(folder)]
        # The index gives an image of its own where a name has no number of its specimen's.
        said = {
            row["path"]: row["group"].replace("0032.png", "").replace("0034.png", "")
            for row in mine
        }
        guess = {path: guess_specimen(Path(path)) for path in said}
        pairs = set(zip(said.values(), guess.values(), strict=True))
        assert len(pairs) == len(set(said.values())) == len(set(guess.values()))


def test_a_name_is_never_empty():
    assert guess_specimen(Path("12.tif")) == "12"
    assert guess_specimen(Path("20 kV.tif")) == "20 kV"
