"""Rebuild the demo's own model: ``python tools/build_demo_model.py``.

Teaches a head on generated cross-sections (other seeds than the demo's image) and writes
``src/napari_sem_classify/models/demo.safetensors``, then prints how the model does on the demo's
image, which it has not seen. Took 8 minutes on two busy cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_sem_classify.core.classify.driver import classify_image
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.files import to_json
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.model.catalogue import DEMO_NAME, shipped_models_folder
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.sample.cross_section import generate_cross_section
from napari_sem_classify.core.sample.demo import (
    DEMO_SEED,
    agreement,
    sample_image,
    teach_demo_model,
)


def main() -> None:
    """Teach, write, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=shipped_models_folder() / f"{DEMO_NAME}.safetensors"
    )
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    classifier = teach_demo_model(job=Job(_show))
    path = save_model(out, classifier)
    sample = generate_cross_section(seed=DEMO_SEED)
    image = sample_image(sample)
    grid = ClassifyOptions().grid_for(image, classifier.card).grid
    found = agreement(classify_image(image, classifier, grid), sample)
    print(to_json({"file": path, "bytes": path.stat().st_size, "scores": classifier.card.scores}))
    print(to_json({"held-out demo image": found}))


def _show(progress: Progress) -> None:
    if progress.done == progress.total:
        print(f"{progress.stage}: {progress.total} in {progress.elapsed_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
