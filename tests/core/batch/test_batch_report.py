"""One table, one page and one list of failures of a batch, and what is known before it runs."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_plan import (
    finished_before,
    images_to_classify,
    look_at,
    plan_batch,
)
from napari_sem_classify.core.batch.batch_report import write_batch_report
from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io import image_from_array

CLASSIFIER = brightness_classifier()


def half_bright(path, share=0.5, shape=(64, 96)):
    random = np.random.default_rng(int(100 * share))
    pixels = random.normal(60, 5, shape)
    pixels[:, : int(shape[1] * share)] += 130
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.clip(pixels, 1, 254).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for number, share in enumerate((0.5, 0.5, 1 / 3, 2 / 3)):
        half_bright(tmp_path / "in" / f"field_{number}.png", share)
    (tmp_path / "in" / "bad & <ugly>.png").write_bytes(b"no picture")
    return tmp_path / "in"


@pytest.fixture
def written(folder, tmp_path):
    out = tmp_path / "out"
    result = classify_many(
        images_to_classify([folder]),
        CLASSIFIER,
        BatchTarget(out),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    return result, write_batch_report(result, out, CLASSIFIER.card), out


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_per_image_with_the_maps_own_fractions(written):
    result, paths, out = written
    rows = rows_of(out / "batch.csv")
    assert len(rows) == len(result.done) == 4
    for row in rows:
        labels = tifffile.imread(out / f"{row['files']}.map.tif")
        assert float(row["fraction_bright"]) == pytest.approx((labels == 2).mean())
        assert float(row["fraction_dark"]) == pytest.approx((labels == 1).mean())
        assert row["area_um2_dark"] == row["pixel_size_nm"] == ""
    assert [path.name for path in paths] == ["batch.csv", "batch.failures.csv", "batch.html"]


def test_failures_are_named_in_a_table_of_their_own_until_they_are_gone(written, folder):
    _, _, out = written
    (failure,) = rows_of(out / "batch.failures.csv")
    assert failure["image"].endswith("bad & <ugly>.png")
    (folder / "bad & <ugly>.png").unlink()
    again = classify_many(
        images_to_classify([folder]),
        CLASSIFIER,
        BatchTarget(out),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    write_batch_report(again, out, CLASSIFIER.card)
    assert not (out / "batch.failures.csv").exists()
    assert len(rows_of(out / "batch.csv")) == 4


def test_the_page_is_one_file_that_says_the_same_and_loads_nothing(written):
    _, _, out = written
    text = (out / "batch.html").read_text(encoding="utf-8")

    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.sources = [], []

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)
            self.sources += [value for name, value in attributes if name in ("src", "href")]

    reader = Reader()
    reader.feed(text)
    assert reader.tags.count("img") == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert "script" not in reader.tags
    assert "<ugly>" not in text
    assert "bad &amp; &lt;ugly&gt;.png" in text
    rows = rows_of(out / "batch.csv")
    mean = np.mean([float(row["fraction_bright"]) for row in rows])
    assert re.search(rf"{100 * mean:.1f} ± \d", text)  # mean of images
    assert f'<td class="n">{100 * mean:.1f} %</td>' in text  # equal images: pooled is the mean


def test_a_batch_of_failures_only_still_has_a_page(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    out = tmp_path / "out"
    result = classify_many(
        [bad], CLASSIFIER, BatchTarget(out), ClassifyOptions(cache=False), engine=TinyEngine()
    )
    write_batch_report(result, out, CLASSIFIER.card)
    assert rows_of(out / "batch.csv") == []
    assert "bad.png" in (out / "batch.html").read_text(encoding="utf-8")


def test_maps_and_pictures_of_an_earlier_run_are_not_classified(folder):
    images = images_to_classify([folder])
    classify_many(
        images,
        CLASSIFIER,
        BatchTarget(folder, kinds=("overlay", "png")),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    assert images_to_classify([folder]) == images
    with pytest.raises(ImageError, match="is a class map"):
        images_to_classify([folder / "field_0.map.tif"])


def test_a_picture_that_only_is_called_like_a_result_is_an_image(tmp_path):
    path = half_bright(tmp_path / "in" / "mine.overlay.png")
    assert images_to_classify([path.parent]) == [path]


def test_the_tiles_are_counted_before_the_run_as_it_counts_them(folder, written):
    result, _, out = written
    items = images_to_classify([folder])
    looked = look_at(items, CLASSIFIER.card.pixel_size_nm)
    plan = plan_batch(looked, CLASSIFIER.card, ClassifyOptions())
    assert plan.images == 5
    assert list(plan.problems) == [0]
    assert "bad & <ugly>.png" in plan.problems[0]
    cells = [sum(plane["cells"] for plane in each.planes) for each in result.done]
    assert list(plan.tiles.values()) == cells
    done = finished_before(items, CLASSIFIER, BatchTarget(out), ClassifyOptions())
    assert done == {1, 2, 3, 4}
    assert plan_batch(looked, CLASSIFIER.card, ClassifyOptions(), done).tiles_to_do == 0
    assert (
        finished_before(items, CLASSIFIER, BatchTarget(out), ClassifyOptions(tile_px=32))
        == frozenset()
    )
    assert (
        finished_before(items, CLASSIFIER, BatchTarget(out / "new"), ClassifyOptions())
        == frozenset()
    )


def test_files_that_did_not_change_are_looked_at_once(folder):
    known = {}
    items = images_to_classify([folder])[1:]
    look_at(items, None, known)
    half_bright(items[0], shape=(128, 128))
    looked = look_at(items, None, known)
    assert looked[0].image.shape == (128, 128)
    assert len(known) == len(items) + 1


def test_an_open_image_is_classified_as_the_user_corrected_it(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (64, 96)).astype(np.uint8)
    image = image_from_array(pixels, "open: image/1").with_pixel_size(10.0)
    out = tmp_path / "out"
    first = classify_many(
        [image], CLASSIFIER, BatchTarget(out), ClassifyOptions(cache=False), engine=TinyEngine()
    )
    (outcome,) = first.done
    assert outcome.stem == "open_ image_1"
    assert outcome.planes[0]["pixel_size_nm"] == 10.0
    again = classify_many(
        [image], CLASSIFIER, BatchTarget(out), ClassifyOptions(cache=False), engine=TinyEngine()
    )
    assert again.done[0].resumed
    other = classify_many(
        [image.with_pixel_size(20.0)],
        CLASSIFIER,
        BatchTarget(out),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    assert not other.done[0].resumed
    painted = image_from_array(255 - pixels, "open: image/1").with_pixel_size(20.0)
    assert (
        not classify_many(
            [painted],
            CLASSIFIER,
            BatchTarget(out),
            ClassifyOptions(cache=False),
            engine=TinyEngine(),
        )
        .done[0]
        .resumed
    )


def test_further_kinds_of_files_are_written_when_they_are_asked_for(folder, tmp_path):
    out = tmp_path / "out"
    items = images_to_classify([folder])[1:2]
    classify_many(
        items,
        CLASSIFIER,
        BatchTarget(out, kinds=("geojson", "regions")),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    names = {path.name for path in out.glob("field*")}
    ends = ("summary.json", "map.tif", "regions.csv", "geojson")
    assert names == {f"field_0.{end}" for end in ends}
    more = classify_many(
        items, CLASSIFIER, BatchTarget(out), ClassifyOptions(cache=False), engine=TinyEngine()
    )
    assert not more.done[0].resumed
    assert (out / "field_0.overlay.png").is_file()
