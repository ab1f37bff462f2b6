"""Tiles as training sees them: every kind of change against what it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.finetune import augmentation as kinds
from napari_sem_classify.core.finetune import finetune_views
from napari_sem_classify.core.finetune.augmentation import KINDS, Augmentation
from napari_sem_classify.core.finetune.finetune_presets import ARTICLE, SEM
from napari_sem_classify.core.finetune.finetune_views import (
    NUMBERS,
    as_seen,
    augment,
    draw_views,
    on_device,
)
from napari_sem_classify.core.network.engine.prepare import resize

CPU = torch.device("cpu")
EVERYTHING = kinds.changed(Augmentation(), {kind.name: kind.usual for kind in KINDS})


def tiles(count=4, side=48, seed=0):
    """Grey from .2 to .8: no change of usual size is clipped."""
    grey = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return (0.2 + 0.6 * grey).to(torch.float64)


def drawn(recipe, count=4, size=48, seed=0):
    return on_device([draw_views(count, size, recipe, np.random.default_rng(seed))], CPU)[0]


def number(view, name):
    return view.numbers[NUMBERS.index(name)].numpy().astype(np.float64)


@pytest.mark.parametrize("size", [48, 32, 64])
def test_with_everything_off_a_tile_is_only_resized(size):
    grey = tiles().to(torch.float32)
    assert torch.equal(
        augment(grey, size, Augmentation(), np.random.default_rng(0)), resize(grey, size)
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_alone_changes_tiles_and_its_seed_repeats_it(kind):
    recipe = kinds.only(EVERYTHING, kind.name)
    assert kinds.kinds_in(recipe) == [kind.name]
    # More tiles than it takes for chance to touch none of them.
    one, again, other = (
        augment(tiles(20), 48, recipe, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert one.shape != other.shape or not torch.equal(one, other)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1


def test_a_kind_that_is_switched_off_leaves_the_others_as_they_were():
    without = replace(EVERYTHING, gamma=0.0, shot_noise=0.0)
    one, other = drawn(EVERYTHING), drawn(without)
    assert torch.equal(one.moves, other.moves)
    same = [name for name in NUMBERS if name not in ("exponent", "noise")]
    for name in same:
        assert np.array_equal(number(one, name), number(other, name))


def test_half_of_the_tiles_keep_scale_focus_and_noise_and_none_goes_beyond_the_recipe():
    view = drawn(EVERYTHING, count=2000)
    limits = {"blur": EVERYTHING.defocus_px, "noise": EVERYTHING.shot_noise}
    for name, most in (limits | {"lines": EVERYTHING.line_noise}).items():
        values = number(view, name)
        assert np.mean(values == 0) == pytest.approx(0.5, abs=0.05)
        assert 0.95 * most < values.max() <= np.float32(most)
    scale = number(view, "scale")
    assert np.mean(scale == 1) == pytest.approx(0.5, abs=0.05)
    assert 1.08 < scale.max() <= 1.1 + 1e-6
    assert number(view, "contrast").max() <= 1 + EVERYTHING.gain + 1e-6
    assert number(view, "exponent").min() >= 1 / (1 + EVERYTHING.gamma) - 1e-6


def test_gain_offset_and_gamma_follow_their_formulas():
    grey = tiles()
    view = drawn(Augmentation(gain=0.2, offset=0.05, gamma=0.4))
    contrast, brightness, exponent = (
        number(view, name)[:, None, None, None] for name in ("contrast", "brightness", "exponent")
    )
    expected = np.clip((grey.numpy() ** exponent - 0.5) * contrast + 0.5 + brightness, 0, 1)
    np.testing.assert_allclose(as_seen(grey, 48, view).numpy(), expected, atol=1e-12)


def test_defocus_is_a_gaussian_of_the_tiles_own_pixels():
    grey = tiles(side=64)
    view = drawn(Augmentation(defocus_px=2.0), size=64, seed=3)
    blur = number(view, "blur")
    assert (blur > 0).any()
    assert (blur == 0).any()
    found = as_seen(grey, 64, view).numpy()
    for tile, deviation, seen in zip(grey[:, 0].numpy(), blur, found[:, 0], strict=True):
        # scipy's "reflect" is the reflection of the border's own pixel too.
        expected = gaussian_filter(tile, deviation, mode="reflect", truncate=8)
        np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_magnification_shows_the_middle_larger_and_reflects_at_the_border():
    # A slope of grey becomes flatter by the scale, about the middle.
    side = 64
    slope = torch.linspace(0.2, 0.8, side, dtype=torch.float64).expand(1, 1, side, side)
    grey = slope.repeat(20, 1, 1, 1)
    view = drawn(Augmentation(magnification=0.1), count=20, size=side)
    found = as_seen(grey, side, view)[:, 0, side // 2].numpy()
    scale = number(view, "scale")
    rise = found[:, -9] - found[:, 8]
    np.testing.assert_allclose(rise, 0.6 / (side - 1) * (side - 17) / scale, rtol=5e-3)
    np.testing.assert_allclose(found.mean(axis=1), 0.5, atol=1e-6)
    assert np.array_equal(found[scale == 1], slope[0, 0, :1].numpy().repeat(sum(scale == 1), 0))
    # The border of a smaller picture is its own reflection, not a frame.
    small = found[scale < 1]
    assert len(small)
    assert (np.abs(small - 0.5).max(axis=1) < 0.31).all()


def test_shot_noise_grows_with_the_root_of_the_grey_value():
    recipe = Augmentation(shot_noise=0.05)
    grey = torch.full((400, 1, 48, 48), 0.25, dtype=torch.float64)
    grey[:, :, :, 24:] = 0.81
    view = drawn(recipe, count=400)
    added = (as_seen(grey, 48, view) - grey)[:, 0].numpy()
    noise = number(view, "noise")
    for half, root in ((added[:, :, :24], 0.5), (added[:, :, 24:], 0.9)):
        spread = half.std(axis=(1, 2))
        np.testing.assert_allclose(spread[noise > 0.01], root * noise[noise > 0.01], rtol=0.12)
        assert (spread[noise == 0] == 0).all()
    # Another tile has another noise.
    one, two = (added[k].ravel() for k in np.flatnonzero(noise > 0.01)[:2])
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1


def test_line_noise_is_one_brightness_a_row():
    grey = tiles(20)
    view = drawn(Augmentation(line_noise=0.03), count=20)
    added = (as_seen(grey, 48, view) - grey)[:, 0].numpy()
    np.testing.assert_allclose(np.ptp(added, axis=2), 0, atol=1e-12)
    lines = number(view, "lines")
    np.testing.assert_allclose(added.std(axis=1)[:, 0], lines, rtol=0.4, atol=1e-9)


def test_charging_is_a_ramp_across_the_tile():
    grey = tiles(20)
    view = drawn(Augmentation(charging=0.15), count=20)
    added = (as_seen(grey, 48, view) - grey)[:, 0].numpy()
    down, right = number(view, "ramp down"), number(view, "ramp right")
    place = (np.arange(48) + 0.5) / 48 - 0.5
    expected = down[:, None, None] * place[:, None] + right[:, None, None] * place
    np.testing.assert_allclose(added, expected, atol=1e-7)
    assert np.hypot(down, right).max() <= 0.15 + 1e-6


def test_flips_and_quarter_turns_give_the_eight_views_of_a_tile():
    tile = tiles(1, 16)
    recipe = Augmentation(flips=True, quarter_turns=True)
    views = augment(tile.expand(60, -1, -1, -1), 16, recipe, np.random.default_rng(0))
    turned = [torch.rot90(tile[0, 0], k) for k in range(4)]
    expected = turned + [view.flip(0) for view in turned]
    found = {
        next(k for k, view in enumerate(expected) if torch.equal(view, seen[0])) for seen in views
    }
    assert found == set(range(8))


def test_a_crop_is_a_window_of_the_tile_at_its_own_scale():
    tile = tiles(1, 64)
    generator = np.random.default_rng(0)
    sides = set()
    for _ in range(8):
        crop = augment(tile, 64, Augmentation(crop=0.5), generator)[0, 0]
        side = len(crop)
        windows = tile[0, 0].unfold(0, side, 1).unfold(1, side, 1)
        assert (windows == crop).all(dim=3).all(dim=2).any()
        sides.add(side)
    assert min(sides) >= 32
    assert len(sides) > 3


def test_both_presets_leave_textures_their_own_pixels_unless_they_say_so():
    assert kinds.kinds_in(ARTICLE.augmentation) == ["flips", "rotation_deg", "gain", "offset"]
    assert "rotation_deg" not in kinds.kinds_in(SEM.augmentation)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [({"blur": 1.0}, "no augmentation 'blur'"), ({"gamma": -0.1}, "gamma has to be 0 to 2")],
)
def test_a_kind_or_a_number_that_cannot_be_is_refused(wanted, told):
    with pytest.raises(DatasetError, match=told):
        kinds.changed(Augmentation(), wanted)


def test_many_batches_are_brought_to_a_device_at_once(monkeypatch):
    views = [draw_views(4, 48, EVERYTHING, np.random.default_rng(number)) for number in range(5)]
    brought = []
    usual = torch.Tensor.to

    def counted(tensor, *args, **kwargs):
        brought.append(tensor.shape)
        return usual(tensor, *args, **kwargs)

    monkeypatch.setattr(finetune_views.torch.Tensor, "to", counted)
    seen = on_device(views, CPU)
    assert len(brought) == 4  # moves, windows, numbers, and the field of noise
    monkeypatch.undo()
    for one, together in zip(views, seen, strict=True):
        assert torch.equal(one.moves, together.moves)
        assert torch.equal(one.numbers, together.numbers)
