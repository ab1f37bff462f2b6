"""Images with label images become a model that classifies other images, with an honest score."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_engine import TinyEngine

from napari_sem_classify.core.classify.driver import classify_image, classify_planes
from napari_sem_classify.core.classify.options import ChosenTiles, ClassifyOptions
from napari_sem_classify.core.common.errors import AnnotationError, Cancelled
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.teach.head_fit import FitOptions, fit_head, teach_head
from napari_sem_classify.core.teach.teach import teach_from_masks
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.tiles.grid import TileGrid

CLASSES = [(0, "matrix"), (7, "oxide")]
TILE = 16


def two_phase(seed: int, size: int = 160, pixel_size_nm: float | None = 5.0):
    """An image of dark matrix and bright oxide in vertical bands, and its mask."""
    generator = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    for left in range(0, size, 4 * TILE):
        mask[:, left : left + 2 * TILE] = 7
    pixels = np.where(mask == 7, 150, 90) + generator.normal(0, 12, mask.shape)
    image = SemImage(
        f"image {seed}",
        pixels.clip(0, 255).astype(np.uint8),
        Specimen(Area(0, size, 0, size)),
        pixel_size_nm=pixel_size_nm,
    )
    return image, mask


def taught(pairs, colours=None, groups=None, job=None, **options):
    return teach_from_masks(
        pairs,
        CLASSES,
        TeachOptions(TILE, recipes=(Recipe(network_px=32),), **options),
        colours=colours,
        specimens=groups,
        engine_of=lambda _recipe: TinyEngine(),
        job=job,
    )


def test_a_model_taught_on_some_images_classifies_another():
    model = taught([two_phase(seed) for seed in range(4)], name="bands")
    image, mask = two_phase(99)
    grid = TileGrid(image.area, TILE, TILE)
    found = classify_image(image, model, grid, engine=TinyEngine()).labels()
    truth = np.where(mask[TILE // 2 :: TILE, TILE // 2 :: TILE] == 7, 2, 1)
    assert (found == truth).mean() > 0.98


def test_the_card_tells_classes_scale_score_and_where_it_comes_from():
    pairs = [two_phase(seed) for seed in range(4)]
    card = taught(pairs, name="bands", colours=["#111111", "#222222"], seed=3).card
    assert card.name == "bands"
    assert card.class_names == ("matrix", "oxide")
    assert [info.colour for info in card.classes] == ["#111111", "#222222"]
    assert (card.tile_px, card.network_px, card.pixel_size_nm) == (TILE, 32, 5.0)
    assert card.scores["method"] == "cross-validation by image (4 images, 4 folds)"
    assert card.scores["speaks_for"] == "other images of these specimens"
    assert card.scores["accuracy"] > 0.95
    assert card.scores["tiles"] == 400
    low, high = card.scores["intervals_95"]["accuracy"]
    assert low <= card.scores["accuracy"] <= high
    assert card.record["images"][0]["tiles"] == {"matrix": 40, "oxide": 60}
    assert card.record["settings"]["seed"] == 3
    assert card.record["date"].startswith("20")
    json.dumps(card.to_dict(), allow_nan=False)


def test_one_image_is_scored_on_blocks_and_a_small_one_not_at_all():
    big = taught([two_phase(0, size=320)]).card
    assert "by spatial blocks" in big.scores["method"]
    small = taught([two_phase(0, size=48)]).card
    assert "accuracy" not in small.scores
    assert small.scores["reason"].startswith("No score can be given: ")
    assert small.temperature == 1.0


def test_images_of_one_specimen_stay_on_one_side():
    pairs = [two_phase(seed) for seed in range(4)]
    card = taught(pairs, groups=["a", "a", "b", "c"]).card
    assert card.scores["method"] == "cross-validation by specimen (3 specimens, 3 folds)"
    assert card.scores["speaks_for"] == "other specimens"
    assert [image["specimen"] for image in card.record["images"]] == ["a", "a", "b", "c"]
    assert [row["specimen"] for row in card.record["images"]] == ["a", "a", "b", "c"]


def test_images_of_different_scale_give_a_model_without_one():
    pairs = [two_phase(0), two_phase(1, pixel_size_nm=20.0)]
    assert taught(pairs).card.pixel_size_nm is None


def test_a_large_class_is_sampled_alike_each_time():
    pairs = [two_phase(seed) for seed in range(3)]
    first, second = (taught(pairs, max_tiles_per_class=25, seed=5) for _ in range(2))
    used = [
        sum(row["tiles"][name] for row in first.card.record["images"])
        for name in ("matrix", "oxide")
    ]
    assert used == [25, 25]
    np.testing.assert_array_equal(first.head.weight, second.head.weight)


def test_progress_counts_all_images_and_cancel_stops():
    readings = []
    taught([two_phase(0), two_phase(1)], job=Job(readings.append))
    looking = [reading for reading in readings if reading.stage == "Looking at tiles"]
    assert looking[-1].done == looking[-1].total == 200
    assert [reading.done for reading in looking] == sorted(reading.done for reading in looking)

    token = Job()

    def stop(reading):
        if reading.done > 20:
            token.cancel()

    with pytest.raises(Cancelled):
        taught([two_phase(0), two_phase(1)], job=token.telling(stop))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mask: np.zeros_like(mask), 'Only the class "matrix"'),
        (lambda mask: np.full_like(mask, 9), "No tile is annotated"),
        (lambda mask: mask[:-1], "159 × 160 px"),
        (lambda mask: mask.astype(np.float64), "decimal numbers"),
        (lambda mask: np.arange(mask.size).reshape(mask.shape), "number objects"),
    ],
)
def test_labels_that_teach_nothing_are_refused_in_one_sentence(change, words):
    image, mask = two_phase(0)
    with pytest.raises(AnnotationError, match=words) as caught:
        taught([(image, change(mask))])
    assert "\n" not in str(caught.value)


def test_no_pair_and_too_few_colours_are_refused():
    with pytest.raises(AnnotationError, match="No image"):
        taught([])
    with pytest.raises(AnnotationError, match="colours"):
        taught([two_phase(0)], colours=["#111111"])


def test_a_known_strength_fits_at_once_and_gives_no_score():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    features = generator.normal(size=(60, 100)).astype(np.float32) + labels[:, None]
    quick = teach_head(features, labels, ("a", "b"), FitOptions(strength=0.01))
    assert quick.score is None
    assert quick.no_score_reason
    again = fit_head(features, labels, 2, strength=0.01)
    np.testing.assert_array_equal(quick.head.weight, again.weight)
    assert (quick.head.logits(features).argmax(1) == labels).mean() > 0.95


def test_random_labels_do_not_score():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 200)).astype(np.float32)
    labels = generator.integers(0, 2, 300)
    found = teach_head(features, labels, ("a", "b"), FitOptions(groups=np.arange(300) % 6))
    assert found.score is not None
    assert found.score.scores.accuracy < 0.62
    assert found.score.reliability.ece < 0.15


def test_a_head_taught_on_real_coatings_knows_them_on_other_specimens(shared_data):
    """Oxide against the rest in tiles of 64 px; far better than always saying background."""
    from PIL import Image

    from napari_sem_classify.core.annotate.annotation import tiles_from_mask
    from napari_sem_classify.core.sem_io import open_image

    def pair(name):
        image = open_image(shared_data / "nasa/images" / name)
        with Image.open(shared_data / "nasa/masks" / name) as file:
            return image.with_area(Area(0, 1024, 0, 1024)), np.array(file)

    names = [
        "010417_4_S2480009",
        "032919_10_100cyc0017",
        "S879_062216_3-31cyc0030",
        "040617_2_S127_2_0015",
    ]
    teach = [f"ebc__{name}.png" for name in names]
    test = ["ebc__032919_6_100cyc0007.png"]
    classes = [(0, "background"), (1, "oxide")]
    options = TeachOptions(64, max_tiles_per_class=60)
    model = teach_from_masks([pair(name) for name in teach], classes, options)
    truth, predicted = [], []
    for name in test:
        image, mask = pair(name)
        grid = TileGrid(image.area, 64, 64)
        tiles = tiles_from_mask(mask, grid, classes)
        known = tiles.labels >= 0
        tiles_known = ChosenTiles(grid, known)
        options = ClassifyOptions(cache=False)
        (found,) = classify_planes(image, model, options, chosen=tiles_known)
        found = found.labels()
        truth.append(tiles.labels[known])
        predicted.append(found[known].astype(int) - 1)
    found = score(np.concatenate(truth), np.concatenate(predicted), 2)
    assert found.macro_f1 > 0.75
