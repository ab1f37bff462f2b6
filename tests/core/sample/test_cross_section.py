"""The generated micrograph: the same for a seed, different between seeds, with an honest truth."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.sample.cross_section import (
    COATING,
    CRACK,
    OXIDE,
    SUBSTRATE,
    generate_cross_section,
)
from napari_sem_classify.core.sample.demo import CLASSES, DEMO_SEED, TEACHING_SEEDS, sample_image

SHAPE = (576, 768)


@pytest.fixture(scope="module")
def sample():
    return generate_cross_section(SHAPE, seed=3)


def test_the_same_seed_gives_the_same_image(sample):
    again = generate_cross_section(SHAPE, seed=3)
    assert np.array_equal(again.image, sample.image)
    assert np.array_equal(again.truth, sample.truth)


def test_another_seed_gives_another_image(sample):
    other = generate_cross_section(SHAPE, seed=4)
    assert (other.truth != sample.truth).mean() > 0.02


def test_it_shows_all_four_classes_and_truth_stops_at_the_info_bar(sample):
    specimen = sample.truth[: sample.area.bottom]
    assert set(np.unique(specimen)) == {SUBSTRATE, COATING, OXIDE, CRACK}
    assert not sample.truth[sample.area.bottom :].any()
    share = np.bincount(specimen.ravel(), minlength=5) / specimen.size
    assert share[SUBSTRATE] > 0.2
    assert share[COATING] > 0.2
    assert share[OXIDE] > 0.07
    assert 0.001 < share[CRACK] < 0.03


def test_coating_lies_above_oxide_and_oxide_above_substrate(sample):
    rows = np.arange(sample.area.bottom)[:, None] * np.ones(SHAPE[1])
    truth = sample.truth[: sample.area.bottom]
    depth = [rows[truth == value].mean() for value in (COATING, OXIDE, SUBSTRATE)]
    assert depth == sorted(depth)


def test_cracks_are_darker_than_the_layers_they_run_through(sample):
    grey = {value: sample.image[sample.truth == value].mean() for value in (1, 2, 3, 4)}
    assert grey[CRACK] < grey[OXIDE] < grey[SUBSTRATE] < grey[COATING]


def test_the_info_bar_is_found_in_the_pixels(sample):
    image = sample_image(sample)
    assert image.specimen.source == "pixels"
    assert image.area.as_list() == sample.area.as_list()
    assert image.pixel_size_nm == sample.pixel_size_nm


def test_without_info_bar_the_specimen_fills_the_image():
    sample = generate_cross_section((256, 300), seed=1, info_bar=False)
    assert sample.area.as_list() == [0, 256, 0, 300]
    assert sample.truth.all()


def test_an_image_too_small_for_the_layers_is_refused():
    with pytest.raises(ValueError, match="256"):
        generate_cross_section((100, 400))


def test_the_demo_image_is_none_of_those_the_model_learns_from():
    assert DEMO_SEED not in TEACHING_SEEDS


def test_class_numbers_of_truth_and_model_are_the_same(sample):
    assert tuple(name for _, name in CLASSES) == sample.class_names
    assert [value for value, _ in CLASSES] == [SUBSTRATE, COATING, OXIDE, CRACK]
