"""What tests of several folders of core share."""

from __future__ import annotations

import numpy as np
import pytest
from engine_reference import small_resnet


@pytest.fixture(scope="session")
def network():
    return small_resnet()


@pytest.fixture(scope="session")
def noise_tiles():
    return np.random.default_rng(5).integers(0, 256, (11, 80, 80), dtype=np.uint8)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Keep the memory of trials out of the user's cache folder."""
    monkeypatch.setattr(
        "napari_sem_classify.core.network.engine.trial.memory_file",
        lambda: tmp_path / "trials.json",
    )
    return tmp_path / "trials.json"
