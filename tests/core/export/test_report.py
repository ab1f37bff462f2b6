"""The report: one file with everything in it."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from class_maps import NAMES, map_of, patchy_labels

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.export.measured import Measured
from napari_sem_classify.core.export.quantities import share_text
from napari_sem_classify.core.export.report import report_html, write_report
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.field_statistics import field_shares, field_spread
from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
from napari_sem_classify.core.measure.review import start_review
from napari_sem_classify.core.model.card import ModelCard


def pair(**options):
    class_map = map_of(patchy_labels(seed=options.pop("seed", 0)), **options)
    area = class_map.grid.area
    pixels = np.random.default_rng(0).integers(0, 255, (area.bottom, area.right), np.uint8)
    return class_map, SemImage("coating_12", pixels, Specimen(area), class_map.pixel_size_nm)


def of_pairs(title, pairs, **known):
    maps, images = zip(*pairs, strict=True)
    return Measured(maps, images, title=title, **known)


def full_report():
    pairs = [pair(image_name="field 1"), pair(image_name="field 2", seed=1)]
    maps = [each for each, _ in pairs]
    review = start_review(maps, 90)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class if index % 9 else 1)
    estimate = estimate_fractions(count_review(review), NAMES, pixel_size_nm=50.0)
    card = ModelCard("coating-v3", maps[0].classes, 16, 64, 50.0, "resnet50", "ab" * 32)
    return of_pairs(
        "Coating series",
        pairs,
        estimate=estimate,
        powered=estimate_prediction_powered(review, maps),
        spreads=[field_spread(field_shares(maps)[:, k]) for k in range(3)],
        card=card,
        failures={"broken.tif": "The file is damaged: copy it again."},
    )


class Outline(HTMLParser):
    """Tags that are still open, and addresses that are loaded."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded = [], []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_well_formed_and_loads_nothing(tmp_path):
    write_report(full_report(), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert len(outline.loaded) == 2
    assert all(address.startswith("data:image/png;base64,") for address in outline.loaded)
    assert "<script" not in text
    assert "http" not in text


def test_another_program_opens_its_pictures():
    from PIL import Image

    for data in re.findall(r"base64,([^\"]+)", report_html(full_report())):
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        picture.load()
        assert picture.width > 800


def test_pandas_reads_the_same_fractions_from_its_tables():
    pytest.importorskip("lxml", reason="pandas reads HTML tables with lxml")
    report = full_report()
    fractions, accuracy, fields, regions = pd.read_html(io.StringIO(report_html(report)))
    assert list(fractions["corrected"]) == [share_text(s) for s in report.estimate.corrected]
    assert list(fractions["map as it is"]) == [f"{100 * n:.1f} %" for n in report.estimate.naive]
    assert accuracy["cells reviewed"].sum() == 90
    assert list(fields["Class"]) == list(NAMES)
    assert (regions["regions"] > 0).all()


def test_it_names_what_failed_the_model_and_the_record():
    text = report_html(full_report())
    assert "broken.tif: The file is damaged" in text
    assert "coating-v3, taught" in text
    assert "&quot;job&quot;: &quot;classify&quot;" in text


def test_names_from_outside_cannot_become_markup():
    class_map, image = pair(names=("<script>alert(1)</script>", 'a"b', "c&d"), image_name="<b>x")
    text = report_html(of_pairs("<i>t</i>", [(class_map, image)]))
    assert "<script>" not in text
    assert "<b>x" not in text
    assert "<i>t" not in text
    assert "c&amp;d" in text


def test_without_a_review_it_says_that_the_fractions_are_biased_and_without_scale_px():
    text = report_html(of_pairs("t", [pair(pixel_size_nm=None)]))
    assert "biased" in text
    assert "px (not calibrated)" in text
    assert "corrected</th>" not in text


def test_a_map_without_a_record_or_any_class_still_makes_a_report():
    class_map, image = pair()
    empty = replace(
        class_map, probabilities=np.full_like(class_map.probabilities, np.nan), record={}
    )
    assert "Area fractions" in report_html(of_pairs("t", [(empty, image)]))


def test_a_missing_folder_is_told_in_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(of_pairs("t", [pair()]), tmp_path / "none" / "report.html")
