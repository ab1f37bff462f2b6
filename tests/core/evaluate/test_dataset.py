"""Labelled images: what is listed, what is left out, what never lies on both sides of a split."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
from labelled_images import grains, write_classes
from PIL import Image

from napari_sem_classify.core.common.errors import Cancelled, DatasetError, ImageError, OutputError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.common.temporaries import MARK
from napari_sem_classify.core.evaluate.dataset import RowCrop, read_listing
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.evaluate.duplicates import clusters, near_duplicates
from napari_sem_classify.core.evaluate.training_set import make_training_set
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen


@pytest.fixture
def make_set(tmp_path):
    """Read a source into a training set whose tiles are removed at the end."""
    made = []

    def make(source, **settings):
        settings.setdefault("largest_px", 32)
        data = make_training_set(read_listing(source), cache_folder=tmp_path, **settings)
        made.append(data)
        return data

    yield make
    for data in made:
        data.discard()


def table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def image_of(rows, cols):
    return SemImage("x", np.zeros((rows, cols), np.uint8), Specimen(Area(0, rows, 0, cols)))


# --- listing


def test_a_folder_of_class_folders_is_listed_in_natural_order(tmp_path):
    source = write_classes(tmp_path / "set", {"class10": 1, "class2": 3})
    listing = read_listing(source)
    assert listing.class_names == ("class2", "class10")
    assert listing.counts.tolist() == [3, 1]


def test_a_folder_within_a_class_folder_is_one_specimen(tmp_path):
    write_classes(tmp_path / "set" / "a", {"spot1": 2, "spot2": 2})
    write_classes(tmp_path / "set" / "b", {"spot1": 2})
    groups = [record.group for record in read_listing(tmp_path / "set").records]
    assert groups == ["a/spot1"] * 2 + ["a/spot2"] * 2 + ["b/spot1"] * 2


def test_specimens_that_nobody_says_are_guessed_and_held_out_whole(tmp_path):
    for name in ("a", "b"):
        for specimen in ("steel 1", "steel 2", "steel 3", "steel 4"):
            write_classes(tmp_path / "set" / name, {specimen: 2})
    flat = tmp_path / "flat"
    for path in sorted((tmp_path / "set").rglob("*.png")):
        place = flat / path.parts[-3]
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / f"{path.parent.name}_{path.stem[-1]:0>4}.png")
    listing = read_listing(flat)
    assert {record.group for record in listing.records} == {f"steel {n}" for n in range(1, 5)}
    assert "4 specimens, guessed from folders and names for 16 images" in listing.notes[0]
    groups = np.array([record.group for record in listing.records])
    split = plan_split(listing.labels, listing.class_names, NONE, groups=groups.tolist())
    assert split.speaks_for == "other specimens"
    assert not set(groups[split.train]) & set(groups[split.scored])


def test_a_csv_may_call_the_group_a_specimen(tmp_path):
    write_classes(tmp_path / "set", {"a": 2, "b": 1})
    rows = [
        {"path": "set/a/a-0.png", "class": "matrix", "specimen": "S1"},
        {"path": "set/a/a-1.png", "class": "matrix", "specimen": "S2"},
        {"path": "set/b/b-0.png", "class": "oxide", "specimen": "S3"},
    ]
    listing = read_listing(table(tmp_path / "index.csv", rows))
    assert [record.group for record in listing.records] == ["S1", "S2", "S3"]


def test_a_csv_names_path_class_and_group(tmp_path):
    write_classes(tmp_path / "set", {"a": 2, "b": 1})
    rows = [
        {"path": "set/a/a-0.png", "class": "matrix", "group": "S1"},
        {"path": "set/a/a-1.png", "class": "matrix", "group": ""},
        {"path": "set/b/b-0.png", "class": "oxide", "group": "S2"},
        {"path": "set/b/notes.txt", "class": "", "group": ""},
    ]
    listing = read_listing(table(tmp_path / "index.csv", rows))
    assert listing.class_names == ("matrix", "oxide")
    assert [record.group for record in listing.records] == ["S1", "", "S2"]
    assert listing.notes == ("1 rows without a class were left out.",)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: write_classes(folder, {"only": 3}), "one class only"),
        (lambda folder: write_classes(folder, {"full": 3, "empty": 0}), "empty holds no images"),
        (lambda folder: folder.mkdir() or folder, "holds no class folders"),
        (lambda folder: folder, "does not exist"),
        (lambda folder: table(folder, [{"file": "a.png", "class": "a"}]), "no column 'path'"),
        (lambda folder: table(folder, [{"path": "a.png", "class": "a"}]), "does not exist"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, make, told):
    source = make(tmp_path / "source")
    with pytest.raises(DatasetError, match=told) as problem:
        read_listing(source)
    assert "\n" not in str(problem.value)


def test_three_hundred_classes_are_listed_and_read(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {f"c{k}": 1 for k in range(300)}, shape=(16, 16))
    data = make_set(source)
    assert data.counts.tolist() == [1] * 300


# --- rows


@pytest.mark.parametrize(
    ("text", "area"),
    [("130:893", [130, 893, 0, 80]), (":500", [0, 500, 0, 80]), ("10%:81.25%", [96, 780, 0, 80])],
)
def test_rows_are_cropped_by_number_or_share(text, area):
    assert RowCrop.parse(text).apply(image_of(960, 80)).area.as_list() == area
    assert str(RowCrop.parse(text)) == text


@pytest.mark.parametrize("text", ["893", "a:b", "-3:9", "0:130%"])
def test_rows_that_make_no_sense_are_refused(text):
    with pytest.raises(DatasetError, match="does not name rows"):
        RowCrop.parse(text)


def test_rows_outside_an_image_are_refused():
    with pytest.raises(ImageError, match="none of them lies in rows 200:300"):
        RowCrop.parse("200:300").apply(image_of(100, 80))


# --- the set


def test_without_a_tile_size_a_wide_image_is_a_few_square_tiles(tmp_path, make_set):
    data = make_set(write_classes(tmp_path / "set", {"a": 1, "b": 1}, shape=(48, 64)))
    assert data.tiles.shape == (4, 32, 32)
    assert data.tile_image.tolist() == [0, 0, 1, 1]
    assert data.tile_px == 48
    assert data.whole_images


def test_with_a_tile_size_images_are_cut_and_small_tiles_are_stored_as_they_are(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 1, "b": 1}, shape=(48, 64))
    data = make_set(source, tile_px=16)
    assert data.tiles.shape == (2 * 12, 16, 16)
    with Image.open(source / "a" / "a-0.png") as file:
        first = np.array(file)[:16, :16].astype(float)
    stored = data.tiles[0].astype(float)
    assert np.corrcoef(first.ravel(), stored.ravel())[0, 1] > 0.98  # stretched, nothing else


def test_the_set_knows_where_in_its_image_each_tile_lies(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 1, "b": 1}, shape=(48, 64))
    with Image.open(source / "b" / "b-0.png") as file:
        pixels = np.array(file)
    pixels[:16, :16] = 0  # no data there: this tile does not come
    Image.fromarray(pixels).save(source / "b" / "b-0.png")
    data = make_set(source, tile_px=16)
    assert data.places.shape == (12 + 11, 2)
    for number in np.flatnonzero(data.tile_image == 1):
        top, left = data.places[number]
        there = pixels[top : top + 16, left : left + 16].astype(float)
        stored = data.tiles[number].astype(float)
        assert np.corrcoef(there.ravel(), stored.ravel())[0, 1] > 0.98


def test_an_image_smaller_than_a_tile_is_reflected(tmp_path, make_set):
    data = make_set(write_classes(tmp_path / "set", {"a": 1, "b": 1}, (20, 24)), tile_px=32)
    assert data.tiles.shape == (2, 32, 32)
    assert np.array_equal(data.tiles[0][:, 24:], data.tiles[0][:, 15:23][:, ::-1])


def test_exact_copies_are_left_out_and_told(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 3, "b": 2})
    (source / "a" / "copy.png").write_bytes((source / "a" / "a-0.png").read_bytes())
    data = make_set(source)
    assert data.counts.tolist() == [3, 2]
    assert "1 exact copies of other images were left out." in data.notes
    assert len(data.left_out) == 1


def test_a_copy_in_another_class_is_refused(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 2, "b": 2})
    (source / "b" / "copy.png").write_bytes((source / "a" / "a-0.png").read_bytes())
    with pytest.raises(DatasetError, match="lie in two classes"):
        make_set(source)


def test_a_corrupt_image_is_left_out_with_its_reason(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 2, "b": 2})
    (source / "a" / "a-0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    data = make_set(source)
    assert data.counts.tolist() == [1, 2]
    [(path, why)] = data.left_out.items()
    assert path.endswith("a-0.png")
    assert "a-0.png" in why


def test_a_class_of_corrupt_images_only_is_refused(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 2, "b": 1})
    (source / "b" / "b-0.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="No image of the class b can be used"):
        make_set(source)
    assert not list(tmp_path.glob(f"{MARK}*"))


def test_a_cancelled_reading_leaves_nothing_behind(tmp_path, make_set):
    cancel = Job()
    cancel.cancel()
    with pytest.raises(Cancelled):
        make_set(write_classes(tmp_path / "set", {"a": 2, "b": 2}), job=cancel)
    assert not list(tmp_path.glob(f"{MARK}*"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(tmp_path, make_set):
    import resource

    source = write_classes(tmp_path / "set", {"a": 20, "b": 20})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be kept in .*: make room there") as problem:
            make_set(source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(problem.value)
    assert not list(tmp_path.glob(f"{MARK}*"))


def test_the_same_images_give_the_same_fingerprint_and_another_crop_another(tmp_path, make_set):
    source = write_classes(tmp_path / "set", {"a": 2, "b": 2})
    first, again = make_set(source), make_set(source)
    cropped = make_set(source, crop=RowCrop.parse("0:40"))
    assert first.fingerprint() == again.fingerprint() != cropped.fingerprint()


# --- duplicates and the split


def frames(count, step, seed=0, side=48):
    """Frames of one scanned strip, each shifted by `step` pixels against the one before."""
    strip = grains(side + step * count, side, 2, seed)
    return [strip[step * k : step * k + side] for k in range(count)]


def test_frames_that_overlap_are_found_and_others_are_not():
    pictures = np.stack(frames(4, 12) + frames(3, 60, seed=9))
    pairs = {tuple(pair) for pair in near_duplicates(pictures).tolist()}
    assert {(0, 1), (1, 2), (2, 3)} <= pairs
    assert all(b < 4 for _, b in pairs)


def test_a_copy_of_other_brightness_is_a_duplicate():
    one, other = grains(48, 48, 3, 1), grains(48, 48, 3, 2)
    brighter = np.clip(one * 0.6 + 60, 0, 255).astype(np.uint8)
    assert near_duplicates(np.stack([one, other, brighter])).tolist() == [[0, 2]]


def test_many_images_are_searched_by_likeness_with_the_same_result(monkeypatch):
    pictures = np.stack([frame for seed in range(6) for frame in frames(4, 14, seed)])
    everything = near_duplicates(pictures)
    monkeypatch.setattr("napari_sem_classify.core.evaluate.duplicates.COMPARE_ALL", 0)
    assert near_duplicates(pictures).tolist() == everything.tolist()


@pytest.mark.parametrize("softness_px", [1.5, 2.5])
def test_images_of_a_few_soft_grains_are_not_taken_for_one_another(softness_px):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(12, 48, 48))
    soft = gaussian_filter(noise, (0, softness_px, softness_px))
    pictures = np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)
    assert len(near_duplicates(pictures)) <= 1


def test_blank_images_are_no_duplicates_of_one_another():
    assert len(near_duplicates(np.full((3, 48, 48), 90, np.uint8))) == 0


def test_groups_and_pairs_join_into_clusters():
    pairs = np.array([[0, 1], [3, 4]])
    assert clusters(6, pairs, ["", "S", "S", "", "", ""]).tolist() == [0, 0, 0, 1, 1, 2]


NONE = np.empty((0, 2), np.int64)


@pytest.mark.parametrize("seed", range(4))
def test_no_group_and_no_near_duplicate_is_on_both_sides(seed):
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 40)
    groups = [f"{label}-{random.integers(8)}" for label in labels]
    pairs = np.sort(random.integers(0, 120, (30, 2)), axis=1)
    pairs = pairs[(labels[pairs[:, 0]] == labels[pairs[:, 1]]) & (pairs[:, 0] != pairs[:, 1])]
    split = plan_split(labels, "abc", pairs, groups=groups, seed=seed)
    sides = [split.train, split.valid, split.test]
    for index, one in enumerate(sides):
        for other in sides[index + 1 :]:
            assert not {groups[i] for i in one} & {groups[i] for i in other}
    assert split.leaks(pairs) == 0
    assert sorted(np.concatenate([*sides, split.buffer])) == list(range(120))


def test_each_class_has_about_its_share_on_each_side():
    labels = np.repeat([0, 1], [200, 20])
    split = plan_split(labels, "ab", NONE)
    for part, share in ((split.train, 0.6), (split.valid, 0.2), (split.test, 0.2)):
        assert np.bincount(labels[part]).tolist() == pytest.approx([200 * share, 20 * share])


def test_the_same_seed_gives_the_same_split_and_another_another():
    labels = np.repeat([0, 1], 20)
    first, again, other = (plan_split(labels, "ab", NONE, seed=seed) for seed in (1, 1, 2))
    assert first.train.tolist() == again.train.tolist() != other.train.tolist()


def test_with_few_images_there_is_no_third_part():
    split = plan_split(np.repeat([0, 1], 4), "ab", NONE)
    assert len(split.test) == 0
    assert split.scored.tolist() == split.valid.tolist()


def test_one_strip_of_overlapping_frames_is_cut_with_a_buffer():
    chain = np.array([[k, k + 1] for k in range(9)] + [[k, k + 2] for k in range(8)])
    labels = np.array([0] * 10 + [1] * 4)
    split = plan_split(labels, ("strip", "other"), chain)
    assert split.leaks(chain) == 0
    held = sorted(i for i in split.valid if i < 10)
    assert held in ([0, 1], [8, 9])
    assert split.buffer.tolist() in ([2, 3], [6, 7])
    assert any("one strip of overlapping frames" in note for note in split.notes)


def test_a_strip_that_hardly_moves_is_learned_and_not_scored():
    everyone = np.array([[a, b] for a in range(8) for b in range(a + 1, 8)])
    labels = np.array([0] * 8 + [1] * 4 + [2] * 4)
    split = plan_split(labels, ("still", "b", "c"), everyone)
    assert set(range(8)) <= set(split.train)
    assert any("still" in note and "not scored" in note for note in split.notes)


def test_a_class_with_one_image_is_learned_and_not_scored():
    labels = np.array([0] * 6 + [1] * 6 + [2])
    split = plan_split(labels, ("a", "b", "rare"), NONE)
    assert 12 in split.train
    assert any("rare" in note and "not scored" in note for note in split.notes)


def test_what_a_random_split_would_have_leaked_is_reported():
    pairs = np.array([[2 * k, 2 * k + 1] for k in range(20)])  # every image has its double
    split = plan_split(np.repeat([0, 1], 20), "ab", pairs)
    assert 0.4 < split.random_leak <= 1.0
    assert plan_split(np.repeat([0, 1], 20), "ab", NONE).random_leak == 0.0


def test_a_class_of_one_specimen_is_split_by_place_and_says_so():
    labels = np.repeat([0, 1], 6)
    split = plan_split(labels, ("a", "b"), NONE, groups=["S"] * 6 + [f"T{k}" for k in range(6)])
    assert (split.valid < 6).any()
    assert any(note.startswith("a comes from one specimen only") for note in split.notes)


def test_the_users_own_split_is_kept_and_its_leak_told():
    parts = ["train", "valid", "train", "test"] * 3
    labels = np.tile([0, 0, 1, 1], 3)
    labels[5] = 1  # so that both classes are held out
    split = plan_split(labels, "ab", np.array([[0, 1]]), parts=parts)
    assert split.valid.tolist() == [1, 5, 9]
    assert split.test.tolist() == [3, 7, 11]
    assert "1 held-out images show a place that is in training too" in split.notes[-1]


def test_a_set_that_cannot_be_scored_is_refused():
    with pytest.raises(DatasetError, match="Fewer than two classes"):
        plan_split(np.array([0, 1]), "ab", NONE)


def test_real_strips_are_split_without_a_shared_place(shared_data, tmp_path, make_set):
    index = shared_data / "index.csv"
    wanted = ("333_cycled", "523", "811")
    with index.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] in wanted]
    for row in rows:
        row["path"] = str(shared_data / row["path"])
    source = table(tmp_path / "ncm.csv", rows)
    data = make_set(source, crop=RowCrop.parse("130:893"))
    split = plan_split(data.labels, data.class_names, data.pairs, groups=data.groups)
    place = {}
    for number, image in enumerate(data.images):
        relative = image.record.path.relative_to(shared_data).as_posix()
        note = next(row["note"] for row in rows if row["path"].endswith(relative))
        place[number] = int(note.split(";")[0].removeprefix("y0="))
    held = split.valid
    assert len(held) >= 3
    for one in held:
        for other in split.train:
            if data.labels[one] == data.labels[other]:
                overlap = 1 - abs(place[one] - place[other]) / 763
                assert overlap < 0.35
    assert split.random_leak > 0.5
