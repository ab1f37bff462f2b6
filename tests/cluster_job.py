"""What the workers of a test's cluster load: the tiny engine, at a pace that can be interrupted."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tiny_engine import TinyEngine, brightness_classifier


class SlowEngine(TinyEngine):
    def embed(self, batch, intensity):
        time.sleep(float(os.environ.get("TEST_SECONDS_A_BATCH", "0")))
        return super().embed(batch, intensity)


def load():
    """The classifier and its engine; leaves a file that tells which process loaded it."""
    folder = Path(os.environ["TEST_LOADS"])
    number = len(list(folder.glob(f"{os.getpid()}-*")))
    (folder / f"{os.getpid()}-{number}").touch()
    return brightness_classifier(tile_px=16), SlowEngine(batch_size=16)
