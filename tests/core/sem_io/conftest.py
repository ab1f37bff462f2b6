"""A program without the package imagecodecs, as most users have it."""

from __future__ import annotations

import sys

import pytest

from napari_sem_classify.core.sem_io import tiff, tiff_decode

# What tifffile unpacks with Python alone.
BUILT_IN = (1, 8, 32946, 34925)


@pytest.fixture
def without_codecs(monkeypatch):
    """Let tifffile decode only what it can without imagecodecs, and the import fail."""

    def can_decode(page):
        return int(page.compression) in BUILT_IN and int(page.predictor) in (1, 2)

    for module in (tiff, tiff_decode):
        monkeypatch.setattr(module, "can_decode", can_decode)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
