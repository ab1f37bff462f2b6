"""A set of labelled images, and a model trained on it."""

from __future__ import annotations

import pytest
from labelled_images import write_classes
from small_training import small, train

from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.evaluate.dataset_split import plan_split
from napari_sem_classify.core.evaluate.training_set import make_training_set


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled") / "set"
    return write_classes(folder, {"fine": 6, "coarse": 6}, shape=(48, 48))


@pytest.fixture(scope="module")
def data(source, tmp_path_factory):
    made = make_training_set(
        read_listing(source), largest_px=32, cache_folder=tmp_path_factory.mktemp("tiles")
    )
    yield made
    made.discard()


@pytest.fixture(scope="module")
def split(data):
    return plan_split(data.labels, data.class_names, data.pairs, test=False)


@pytest.fixture(scope="module")
def trained(one_thread, tiny_by_default, data, split):
    return train(data, split, preset=small(epochs=2), name="grains")
