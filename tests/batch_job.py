"""A batch in a process of its own, to be killed: python batch_job.py FOLDER OUT"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_plan import images_to_classify
from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions


def main(folder: str, out: str) -> None:
    """Classify the folder, a line on stdout for each image that is finished."""

    class Slow(TinyEngine):
        def embed(self, batch, intensity):
            time.sleep(0.01)  # so that it is at work most of the time, when it is killed
            return super().embed(batch, intensity)

    classify_many(
        images_to_classify([folder]),
        brightness_classifier(),
        BatchTarget(Path(out), kinds=()),
        ClassifyOptions(cache=False),
        engine=Slow(),
        on_image=lambda outcome: print(outcome.path.name, flush=True),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
