"""A Dask worker, the scheduler and the client killed in mid-run, then the same run once more.

    python -m benchmarks.attacks.dask_kills [--times 3] [--seed 0] [--only TEXT]

Survived: a killed worker costs nothing; after a killed scheduler or client the run, told in one
sentence where there is somebody to tell, goes on on another cluster; the maps are those of a run on
this computer, no temporary file is left, and the user's own files are as they were. It needs the
extra ``distributed``.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.attacks import harness, inputs
from benchmarks.attacks.harness import Process, Tally, faults, run

SECONDS_A_BATCH = 0.03
KILLED = ("worker", "scheduler", "client")


def write_wafer(path: Path) -> Path:
    """A zarr that counts as huge with the blocks of `on_cluster`."""
    import zarr

    image, _ = inputs.two_phases(400, 400, seed=5)
    array = zarr.create_array(str(path), shape=image.shape, chunks=(128, 128), dtype="uint8")
    array[:] = image
    return path


def classify(image: Path, out: Path, address: str | None) -> int:
    """Classify on a cluster, or on this computer where no address is given."""
    import cluster_job
    from tiny_engine import TinyEngine, brightness_classifier

    from napari_sem_classify.core.batch.batch_state import BatchTarget
    from napari_sem_classify.core.batch.classify_many import classify_many
    from napari_sem_classify.core.classify.options import ClassifyOptions
    from napari_sem_classify.core.cluster import huge
    from napari_sem_classify.core.cluster.distributed import classify_on_cluster
    from napari_sem_classify.core.common.errors import SemClassifyError

    huge.BLOCK_TILES = 7
    wish = ClassifyOptions(tile_px=24, stride_px=17, cache=False)
    model, target = brightness_classifier(tile_px=16), BatchTarget(out)
    try:
        if address is None:
            report = classify_many([image], model, target, wish, engine=TinyEngine(16))
        else:
            report = classify_on_cluster(
                [image], model, target, wish, scheduler=address, load=cluster_job.load
            )
    except SemClassifyError as error:
        raise SystemExit(_told(str(error))) from error
    problems = [each.problem for each in report.failed]
    return _told("\n".join(problems)) if problems else 0


def _told(sentence: str) -> int:
    import sys

    print(sentence, file=sys.stderr)
    return 1


def labels(out: Path) -> bytes:
    """The map, without what tells of the run."""
    import tifffile

    return np.asarray(tifffile.imread(out / "wafer.map.tif")).tobytes()


def attacks(times: int, seed: int, only: str) -> Iterator[Tally]:
    """A tally for each that is killed."""
    from dask_cluster import Cluster

    with harness.workplace() as place:
        harness.warm_up()
        image = place / "wafer.zarr"
        if run(lambda: write_wafer(image) and 0).status:
            raise RuntimeError("The image could not be made.")
        alone = place / "alone"
        if wrong := faults(run(lambda: classify(image, alone, None)), 0):
            raise RuntimeError(wrong)
        expected = labels(alone)
        for killed in KILLED:
            if only not in killed:
                continue
            tally = Tally(f"kill -9, Dask {killed}")
            chance = random.Random(f"{seed} {killed}")
            for number in range(times):
                folder = place / f"{killed}-{number}"
                folder.mkdir()
                tally.count(_one(killed, Cluster, folder, image, expected, chance))
                shutil.rmtree(folder, ignore_errors=True)
            yield tally


def _one(killed, start_cluster, folder, image, expected, chance) -> list[str]:
    """Kill one process of a run, then run again on a cluster of its own."""
    out = folder / "out"
    before = inputs.place_own_files(out)
    (folder / "first").mkdir()
    cluster = start_cluster(folder / "first", SECONDS_A_BATCH)
    try:
        cluster.wait_for(2)
        client = Process(lambda: classify(image, out, cluster.address))
        while not list(out.glob(".sem-classify-*")) and time.monotonic() < client.started + 30:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 1.5))
        if killed == "client":
            client.kill()
        else:
            (cluster.workers[0] if killed == "worker" else cluster.scheduler).kill()
        ended = client.wait()
        if killed == "client":
            # The workers finish what they were given before the next run may begin.
            wrong = []
        else:
            wrong = faults(ended, 0) if killed == "worker" else faults(ended, 0, 1)
    finally:
        cluster.close()
    (folder / "second").mkdir()
    cluster = start_cluster(folder / "second", 0.0)
    try:
        cluster.wait_for(2)
        wrong += faults(run(lambda: classify(image, out, cluster.address)), 0)
    finally:
        cluster.close()
    if not (out / "wafer.map.tif").is_file() or labels(out) != expected:
        wrong.append("another map than alone")
    return wrong + inputs.own_files_lost(out, before) + inputs.leftovers(out)


if __name__ == "__main__":
    asked = harness.options(__doc__, times=3).parse_args()
    harness.print_table(attacks(asked.times, asked.seed, asked.only))
