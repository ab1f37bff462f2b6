"""The lead below which tiles are looked at again, and whether that pays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from napari_sem_classify.core.classify.close_calls import limit_for
from napari_sem_classify.core.classify.engine_choice import LEAST_GAIN, gain_in_8_bits


def test_a_limit_is_found_only_where_close_calls_are_those_that_change():
    mine = np.tile(np.array([[0.9, 0.1]], np.float32), (200, 1))
    mine[:8] = [0.52, 0.48]
    exact = mine.copy()
    exact[:8] = [0.48, 0.52]
    below, share = limit_for(mine, exact)
    assert share == 0.05
    assert 0.04 < below <= 0.81
    exact[100:108] = [0.1, 0.9]
    assert limit_for(mine, exact) is None


def test_a_second_look_has_to_pay():
    half, full = (SimpleNamespace(dtype=dtype) for dtype in ("bfloat16", "float32"))
    assert gain_in_8_bits(1.56, 0.0, half) > LEAST_GAIN
    assert gain_in_8_bits(1.56, 0.1, half) < LEAST_GAIN
    assert gain_in_8_bits(2.34, 0.15, full) > LEAST_GAIN
