"""A tuned network looks around its tiles and is judged, as a taught head, by what was held back."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_images import grains

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.classify.driver import classify_image
from napari_sem_classify.core.finetune.annotated_head import with_surroundings
from napari_sem_classify.core.finetune.annotated_images import open_annotated
from napari_sem_classify.core.finetune.annotated_split import split_annotated
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import make_preset
from napari_sem_classify.core.finetune.from_annotations import make_annotated_set
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.model.file import read_model, save_model
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.tiles.grid import TileGrid

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")

TILE, ROWS, COLS = 32, 5, 8


def picture(seed):
    """Fine grains on the left, coarse ones on the right."""
    half = COLS // 2 * TILE
    left, right = grains(ROWS * TILE, half, 2, seed), grains(ROWS * TILE, half, 8, seed + 100)
    return image_from_array(np.hstack([left, right]), f"{chr(97 + seed) * 4}", pixel_size_nm=10.0)


def annotated(count):
    """Every tile of some specimens, by what it shows."""
    found = Annotations((ClassInfo("fine", "#112233"), ClassInfo("coarse", "#445566")))
    images = {}
    for seed in range(count):
        image = picture(seed)
        key = fingerprint(image)
        images[key] = image
        found = found.with_image(image, key)
        grid = TileGrid(image.area, TILE, TILE)
        starts = [(int(y), int(x), TILE) for y in grid.row_starts() for x in grid.col_starts()]
        for name, there in (("fine", range(COLS // 2)), ("coarse", range(COLS // 2, COLS))):
            some = [at for at in starts if at[1] // TILE in there]
            found = found.with_marks(key, some, name)
    return open_annotated(found, TILE, images)


def trained(tiles, folder):
    data = make_annotated_set(tiles, cache_folder=folder)
    split = split_annotated(data)
    preset = make_preset(sizes=[32], epochs=1)
    result = fine_tune(data, split, FineTuneOptions(preset, "cpu", batch_size=16))
    return result, data, split


@pytest.fixture(scope="module")
def eight(one_thread, tiny_by_default, tmp_path_factory):
    tiles = annotated(8)
    result, data, split = trained(tiles, tmp_path_factory.mktemp("tiles"))
    yield with_surroundings(result, tiles, data, split, "cpu"), result, data, split
    data.discard()


def test_the_judgement_is_calibrated_on_specimens_that_the_trunk_never_saw(eight):
    found, _, data, split = eight
    held = np.concatenate([split.valid, split.test])
    specimens = {data.groups[number] for number in held}
    known = found.classifier.card.transfer.calibration
    assert len(specimens) >= 3
    assert (known.specimens, known.images) == (len(specimens), len(specimens))
    assert not specimens & {data.groups[number] for number in split.train}


def test_what_surrounds_a_tile_is_chosen_on_what_was_held_back_and_told(eight):
    told = eight[0].classifier.card.record["surroundings"]
    assert len(told["tried"]) > 1
    assert "held back" in told["reason"]


def test_a_new_image_is_judged_from_the_saved_file_and_a_learned_one_is_not(eight, tmp_path):
    classifier = read_model(save_model(tmp_path / "tuned", eight[0].classifier))
    assert classifier.stages is not None
    new = classify_image(picture(20), classifier)
    assert new.record["transfer"] in ("like", "unlike", "very unlike")
    old = classify_image(picture(0), classifier)
    assert (old.record["transfer"], "learned" in old.record["transfer_sentence"]) == (
        "unknown",
        True,
    )
