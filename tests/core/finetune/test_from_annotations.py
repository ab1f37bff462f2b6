"""Training from annotated tiles: cut at the image's own range, split without neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_images import grains
from PIL import Image

from napari_sem_classify.core.annotate.annotation_file import load_annotations, save_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.edits import merge_annotations
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.classify.driver import classify_image
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import AnnotationError, Cancelled
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.finetune.annotated_images import (
    open_annotated,
    tile_counts,
    tile_sizes,
)
from napari_sem_classify.core.finetune.annotated_split import split_annotated
from napari_sem_classify.core.finetune.finetune import fine_tune
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_presets import make_preset
from napari_sem_classify.core.finetune.finetune_time import FIRST_BATCHES, TimeLeft
from napari_sem_classify.core.finetune.from_annotations import make_annotated_set, places_of
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.sem_io import image_from_array, open_image
from napari_sem_classify.core.teach.folds import BUFFER_TILES
from napari_sem_classify.core.tiles.grid import TileGrid

TILE = 32
ROWS, COLS = 8, 16


pytestmark = pytest.mark.usefixtures("one_thread")


def two_grains(seed=0, rows=ROWS * TILE, cols=COLS * TILE):
    """Fine grains on the left, coarse ones on the right, as 16 bit over an odd range."""
    left, right = grains(rows, cols // 2, 2, seed), grains(rows, cols - cols // 2, 8, seed + 1)
    return np.hstack([left, right]).astype(np.uint16) * 37 + 1000


def picture(seed=0, name="grains"):
    return image_from_array(two_grains(seed), name, pixel_size_nm=10.0)


def annotate(annotations, image, step=1):
    """Every tile of some columns of an image, by what it shows."""
    key = fingerprint(image)
    annotations = annotations.with_image(image, key)
    grid = TileGrid(image.area, TILE, TILE)
    rows, cols = grid.tile_shape
    for name, columns in (("fine", range(0, cols // 2)), ("coarse", range(cols // 2, cols))):
        some = [
            (int(grid.row_starts()[row]), int(grid.col_starts()[col]), TILE)
            for row in range(rows)
            for col in columns
            if (row + col) % step == 0
        ]
        annotations = annotations.with_marks(key, some, name)
    return annotations


def classes():
    fine, coarse = ClassInfo("fine", "#112233"), ClassInfo("coarse", "#445566")
    return Annotations((fine, coarse))


@pytest.fixture(scope="module")
def image():
    return picture()


@pytest.fixture(scope="module")
def annotated(image):
    return annotate(classes(), image)


@pytest.fixture(scope="module")
def data(image, annotated, tmp_path_factory):
    tiles = open_annotated(annotated, TILE, {fingerprint(image): image})
    made = make_annotated_set(tiles, cache_folder=tmp_path_factory.mktemp("tiles"))
    yield made
    made.discard()


@pytest.fixture(scope="module")
def split(data):
    return split_annotated(data)


@pytest.fixture(scope="module")
def trained(one_thread, tiny_by_default, data, split, annotated):
    preset = make_preset(sizes=[32], epochs=1)
    colours = {info.name: info.colour for info in annotated.classes}
    return fine_tune(data, split, FineTuneOptions(preset, "cpu", colours=colours))


# --- cutting


def test_every_annotated_tile_is_cut_with_its_class_at_the_range_of_the_whole_image(data, image):
    from napari_sem_classify.core.image.intensity import (
        IntensityRecipe,
        measure_range,
        stretch_to_uint8,
    )

    assert data.tiles.shape == (ROWS * COLS, TILE, TILE)
    assert data.counts.tolist() == [ROWS * COLS // 2] * 2
    whole = stretch_to_uint8(image.read(image.area), measure_range(image, IntensityRecipe()))
    for number in (0, 5, 77, ROWS * COLS - 1):
        top, bottom, left, right = data.images[number].specimen
        assert np.array_equal(data.tiles[number], whole[top:bottom, left:right])
        assert data.class_names[data.labels[number]] == ("fine" if left < 256 else "coarse")
    assert data.pixel_size_nm == 10.0


def test_tiles_of_two_images_come_from_their_files_and_their_saved_annotations(tmp_path):
    several = []
    for number in range(2):
        path = tmp_path / f"image-{number}.png"
        Image.fromarray(grains(128, 160, 3, number)).save(path)
        mine = annotate(classes(), open_image(path), step=2)
        save_annotations(path.with_suffix(".annotations.json"), mine)
        several.append(load_annotations(path.with_suffix(".annotations.json")))
    merged = merge_annotations(several)
    tiles = open_annotated(merged, TILE)
    data = make_annotated_set(tiles, cache_folder=tmp_path)
    assert len({facts.key for facts in data.images}) == 2
    assert tile_counts(merged, TILE) == tiles.counts()
    assert tile_sizes(merged.images) == [(TILE, sum(tiles.counts().values()))]
    assert all(facts.sha256 for facts in data.images)
    data.discard()
    assert not data.folder.exists()


def test_classes_of_several_files_are_put_together_by_name():
    other = Annotations((ClassInfo("crack", "#112233"), ClassInfo("fine", "#999999")))
    merged = merge_annotations([classes(), other])
    assert merged.class_names == ("fine", "coarse", "crack")
    assert [info.colour for info in merged.classes][:2] == ["#112233", "#445566"]
    assert len({info.colour for info in merged.classes}) == 3


def test_an_image_that_is_gone_or_another_by_now_is_left_out_with_the_reason(image, tmp_path):
    path = tmp_path / "later.png"
    Image.fromarray(grains(128, 160, 3, 1)).save(path)
    annotations = annotate(annotate(classes(), image), open_image(path))
    Image.fromarray(grains(128, 160, 3, 2)).save(path)
    tiles = open_annotated(annotations, TILE, {fingerprint(image): image})
    assert len(tiles.images) == 1
    assert "not the image that was annotated" in tiles.left_out["later"]
    data = make_annotated_set(tiles, cache_folder=tmp_path)
    assert any("1 annotated images could not be used" in note for note in data.notes)
    data.discard()


def test_a_class_with_very_many_tiles_is_drawn_from_at_random(image, annotated, tmp_path):
    tiles = open_annotated(annotated, TILE, {fingerprint(image): image})
    some = make_annotated_set(tiles, max_tiles_per_class=10, cache_folder=tmp_path)
    assert some.counts.tolist() == [10, 10]
    assert some.notes == (f"20 of {ROWS * COLS} annotated tiles were drawn to learn from.",)
    some.discard()


def test_tiles_on_the_info_bar_and_without_data_are_left_out(annotated, tmp_path):
    pixels = two_grains()
    pixels[:TILE, :TILE] = 0
    image = image_from_array(pixels, "grains", pixel_size_nm=10.0)
    image = image.with_area(replace(image.area, bottom=image.area.bottom - 10))
    key = fingerprint(image)
    mine = replace(annotated, images=(replace(annotated.images[0], fingerprint=key),))
    data = make_annotated_set(open_annotated(mine, TILE, {key: image}), cache_folder=tmp_path)
    assert len(data.images) == ROWS * COLS - COLS - 1
    assert any(f"{COLS + 1} annotated tiles hold no data" in note for note in data.notes)
    data.discard()


def test_one_class_alone_teaches_nothing(image, tmp_path):
    key = fingerprint(image)
    only = classes().with_image(image, key).with_marks(key, [(0, 0, TILE), (0, 32, TILE)], "fine")
    with pytest.raises(AnnotationError, match='Only the class "fine" is annotated'):
        make_annotated_set(open_annotated(only, TILE, {key: image}), cache_folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_cutting_leaves_nothing_on_the_disk(image, annotated, tmp_path):
    cancel = Job()

    def stop(progress):
        if progress.done == 5:
            cancel.cancel()

    tiles = open_annotated(annotated, TILE, {fingerprint(image): image})
    with pytest.raises(Cancelled):
        make_annotated_set(tiles, cache_folder=tmp_path, job=cancel.telling(stop))
    assert list(tmp_path.iterdir()) == []


# --- split


def test_no_held_out_tile_of_one_image_lies_beside_a_learned_one(data, split):
    places = places_of(data)
    held = np.concatenate([split.valid, split.test])
    gap = np.maximum(
        np.abs(places.y[held][:, None] - places.y[split.train]),
        np.abs(places.x[held][:, None] - places.x[split.train]),
    )
    assert gap.min() >= (1 + BUFFER_TILES) * TILE
    for part in (split.train, split.valid):
        assert set(data.labels[part]) == {0, 1}
    assert len(split.train) > 0.4 * len(data.labels)
    assert split.random_leak > 0.9
    assert any("one image" in note for note in split.notes)
    together = np.concatenate([split.train, split.valid, split.test, split.buffer])
    assert sorted(together.tolist()) == list(range(len(data.labels)))


def test_several_images_are_split_by_image(tmp_path):
    images = [picture(10 * n, f"image {n}") for n in range(4)]
    annotations = classes()
    for each in images:
        annotations = annotate(annotations, each)
    open_images = {fingerprint(each): each for each in images}
    data = make_annotated_set(open_annotated(annotations, TILE, open_images), cache_folder=tmp_path)
    split = split_annotated(data)
    of_image = places_of(data).image
    assert not set(of_image[split.train]) & set(of_image[split.valid])
    assert len(split.buffer) == 0
    assert split.how == "by image (4 images)"
    data.discard()


def test_too_few_places_to_score_are_told_in_one_sentence(image, tmp_path):
    key = fingerprint(image)
    few = classes().with_image(image, key)
    few = few.with_marks(key, [(0, 0, TILE), (0, 32, TILE)], "fine")
    few = few.with_marks(key, [(0, 480, TILE), (0, 448, TILE)], "coarse")
    data = make_annotated_set(open_annotated(few, TILE, {key: image}), cache_folder=tmp_path)
    with pytest.raises(AnnotationError, match=r"^Nothing can be held back .* in more images\.$"):
        split_annotated(data)
    data.discard()


# --- the model


def test_the_card_says_how_to_use_the_model_on_an_image(trained, image):
    card = trained.classifier.card
    assert (card.tile_px, card.pixel_size_nm, card.kind) == (TILE, 10.0, "fine-tuned")
    assert [info.colour for info in card.classes] == ["#112233", "#445566"]
    assert card.record["tiles_per_class"] == {"fine": 64, "coarse": 64}
    assert ClassifyOptions().grid_for(image, card).grid.tile == TILE
    assert not ClassifyOptions().grid_for(image, card).scale_warning


def test_classifying_the_image_agrees_with_what_training_saw(trained, data, image):
    """The tiles that were held out, once through the training's store and once through Classify."""
    classifier = trained.classifier
    engine = make_engine(
        network_px=classifier.card.network_px,
        stages=classifier.card.stages,
        trunk=classifier.trunk,
        device="cpu",
        backend="torch",
        dtype="float32",
    )
    grid = ClassifyOptions().grid_for(image, classifier.card).grid
    found = classify_image(image, classifier, grid, engine=engine)
    held = trained.held_out
    places = [data.images[number].specimen for number in held.image]
    mine = np.array([found.probabilities[top // TILE, left // TILE] for top, _, left, _ in places])
    assert np.abs(mine - held.probabilities).max() < 0.02
    assert (mine.argmax(axis=1) == held.probabilities.argmax(axis=1)).mean() > 0.97
    assert trained.classifier.card.scores["accuracy"] > 0.9


def test_intervals_draw_whole_places(trained, data):
    evaluation = trained.held_out
    assert len(set(evaluation.groups)) < len(evaluation.truth)
    assert trained.classifier.card.scores["intervals_95"]["accuracy"][0] <= 1.0


# --- time


def test_the_time_left_knows_that_larger_tiles_take_longer():
    preset = make_preset("sem", sizes=[64, 128], epochs=2)
    clock = TimeLeft(preset, n_train=800, n_valid=200, device="cpu")
    half = clock.batches // 2
    assert clock.work_until(clock.batches, 1.0) == pytest.approx(1.0)
    assert clock.work_until(half) < 0.4
    told = [clock.seconds(batch, float(batch)) for batch in range(1, FIRST_BATCHES + 3)]
    assert told[:FIRST_BATCHES] == [None] * FIRST_BATCHES
    assert told[-1] > clock.batches - FIRST_BATCHES - 2
    assert clock.seconds(clock.batches, 1e3) > 0.0
    assert clock.seconds(clock.batches, 1e3, 1.0) == pytest.approx(0.0)


def test_the_time_left_knows_of_the_scoring_after_the_last_epoch():
    preset = make_preset("sem", sizes=[64], epochs=2)
    plain, averaged = (
        TimeLeft(replace(preset, average=average), 800, 200, "cpu", 100)
        for average in (False, True)
    )
    assert 1.0 - plain.work_until(plain.batches) == pytest.approx(300 / (2 * 2600 + 300))
    assert 1.0 - averaged.work_until(averaged.batches) == pytest.approx(3100 / (2 * 2600 + 3100))
    assert plain.work_until(plain.batches, 0.5) == pytest.approx(1 - 150 / (2 * 2600 + 300))


def test_the_batches_foretold_are_those_of_the_training(data, split):
    readings = []
    preset = make_preset("sem", sizes=[32, 40], epochs=1)
    cancel = Job()
    fine_tune(
        data,
        split,
        FineTuneOptions(preset, "cpu"),
        on_batch=lambda _loss: cancel.cancel(),
        job=cancel.telling(readings.append),
    )
    clock = TimeLeft(preset, len(split.train), len(split.valid), "cpu")
    assert clock.batches == readings[-1].total
