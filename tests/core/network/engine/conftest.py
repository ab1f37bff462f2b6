"""Engines never look into the user's memory of trials."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_trials(own_cache):
    return own_cache
