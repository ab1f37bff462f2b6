"""The figure for a paper, in three formats."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import NAMES, map_of, patchy_labels

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.export.figure import write_figure
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.review import start_review


def image_for(class_map):
    area = class_map.grid.area
    pixels = np.full((area.bottom, area.right), 128, np.uint8)
    pixels[::7] = 90
    pixels[::11, ::5] = 170
    return SemImage("coating_12", pixels, Specimen(area), class_map.pixel_size_nm)


def estimate_of(class_map):
    review = start_review([class_map], 100)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class)
    size = class_map.pixel_size_nm
    return estimate_fractions(count_review(review), NAMES, pixel_size_nm=size)


def test_a_png_has_the_asked_width_and_the_classes_colours(tmp_path):
    from PIL import Image

    class_map = map_of(patchy_labels())
    write_figure(class_map, image_for(class_map), tmp_path / "f.png", width_mm=127, dpi=200)
    picture = np.asarray(Image.open(tmp_path / "f.png").convert("RGB"))
    assert picture.shape[1] == 1000
    for colour in ((230, 159, 0), (86, 180, 233), (0, 158, 115)):  # the legend's swatches
        assert (picture == colour).all(axis=-1).any()


def test_text_stays_text_in_an_svg(tmp_path):
    from xml.etree import ElementTree

    class_map = map_of(patchy_labels(), names=("matrix", "oxide $1 & <2>", "crack"))
    write_figure(class_map, image_for(class_map), tmp_path / "f.svg", estimate_of(class_map))
    tree = ElementTree.parse(tmp_path / "f.svg")
    text = " ".join("".join(each.itertext()) for each in tree.iter() if each.tag.endswith("text"))
    assert "oxide $1 & <2>" in text
    assert "100 cells reviewed" in text
    assert "5 µm" in text


def test_a_pdf_is_one_page(tmp_path):
    class_map = map_of(patchy_labels())
    write_figure(class_map, image_for(class_map), tmp_path / "f.pdf")
    data = (tmp_path / "f.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.count(b"/Type /Page ") + data.count(b"/Type /Page\n") == 1


def test_an_uncalibrated_figure_says_px(tmp_path):
    class_map = map_of(patchy_labels(), pixel_size_nm=None)
    write_figure(class_map, image_for(class_map), tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert "px (not calibrated)" in text
    assert "µm" not in text
    assert "as the map says, not corrected" in text


def test_another_ending_is_refused(tmp_path):
    class_map = map_of(patchy_labels())
    with pytest.raises(OutputError, match=r"\.png, \.svg or \.pdf"):
        write_figure(class_map, image_for(class_map), tmp_path / "f.docx")
    assert list(tmp_path.iterdir()) == []
