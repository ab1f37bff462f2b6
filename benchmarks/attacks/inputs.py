"""Small real inputs for the attacks: images, labels, class folders, and a tiny network."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.attacks import harness

TILE = 32
CLASSES = "0=matrix,1=oxide"
ON_CPU = ("--device", "cpu", "--backend", "torch")


def use_tiny_network() -> None:
    """Put a tiny network where the usual one stands, in this process and in forks of it."""
    from tiny_backbone import SIZES, tiny_resnet, write_weights

    from napari_sem_classify.core.network.architecture import Architecture
    from napari_sem_classify.core.network.backbone import BACKBONES, DEFAULT_BACKBONE
    from napari_sem_classify.core.network.engine.factory import forget_engines

    path = Path(os.environ["XDG_DATA_HOME"]) / "tiny.safetensors"
    # In a process of its own: this one must not have used threads when it forks.
    if not path.is_file() and harness.run(lambda: write_weights(path) and 0).status:
        raise RuntimeError("The weights of the tiny network could not be made.")
    BACKBONES[DEFAULT_BACKBONE] = replace(
        BACKBONES[DEFAULT_BACKBONE],
        architecture=Architecture("tiny ResNet", tiny_resnet, SIZES),
        filename=str(path),
        sha256="",
    )
    forget_engines()


def two_phases(rows: int, cols: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A generated image of coarse oxide in fine matrix, and its labels."""
    from labelled_images import grains

    labels = np.zeros((rows, cols), np.uint8)
    labels[: rows // 2, cols // 3 :] = 1
    fine, coarse = grains(rows, cols, 2, seed), grains(rows, cols, 8, seed + 1)
    return np.where(labels == 1, coarse, fine), labels


def write_images(folder: Path, count: int, *, rows: int = 192, cols: int = 256) -> list[Path]:
    """Images ``field_0.png`` and so on, with labels of the same names in ``labels/``."""
    from PIL import Image

    (folder / "labels").mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        image, labels = two_phases(rows, cols, seed=100 * number)
        paths.append(folder / f"field_{number}.png")
        Image.fromarray(image).save(paths[-1])
        Image.fromarray(labels).save(folder / "labels" / paths[-1].name)
    return paths


def teach_arguments(images: list[Path], out: Path, *further: str) -> list[str]:
    """Arguments of ``teach`` on images from `write_images`."""
    pairs = [
        part
        for path in images
        for part in ("--image", str(path), "--labels", str(path.parent / "labels" / path.name))
    ]
    asked = ("--classes", CLASSES, "--tile", str(TILE), "--out", str(out), *ON_CPU)
    return ["teach", *pairs, *asked, *further]


def taught_model(folder: Path) -> Path:
    """A model taught on two images, without attack."""
    images = write_images(folder / "taught", 2)
    path = folder / "model.safetensors"
    ran = harness.run(teach_arguments(images, path))
    if ran.status:
        raise RuntimeError(f"teach failed: {ran.err}")
    return path


def write_class_folders(
    folder: Path, each: int = 10, names: tuple[str, ...] = ("fine", "coarse", "rough")
) -> Path:
    """Class folders for ``train`` and ``evaluate``."""
    from labelled_images import write_classes

    return write_classes(folder, dict.fromkeys(names, each))


def results(out: Path) -> dict[str, str]:
    """What the files of a run hold, by name: all but when, how long and from where.

    Tables and pictures byte by byte; of maps and models the numbers, of summaries the fractions.
    Hidden files are left out.
    """
    found = {}
    for path in sorted(out.iterdir()):
        if path.name.startswith("."):
            continue
        if path.name.endswith(".map.tif"):
            from napari_sem_classify.core.maps.map_file import read_map

            saved = read_map(path)
            maps = {} if saved is None else saved.maps
            arrays = [each.probabilities.tobytes() for each in maps.values()]
            found[path.name] = _hash(*arrays)
        elif path.name.endswith(".summary.json"):
            value = json.loads(path.read_text(encoding="utf-8"))
            found[path.name] = _hash(json.dumps([value["classes"], value["cells"]]).encode())
        elif path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            tensors = sorted(load_file(path).items())
            found[path.name] = _hash(*(name.encode() + each.tobytes() for name, each in tensors))
        elif path.suffix in (".csv", ".png", ".geojson", ".tif"):
            found[path.name] = _hash(path.read_bytes())
        else:
            found[path.name] = ""
    return found


def leftovers(folder: Path, *, resumable: bool = False) -> list[str]:
    """Temporary files that a run left in a folder and below, as faults.

    `resumable` tells that what a training goes on from may lie there.
    """
    from napari_sem_classify.core.common.folder_record import RECORD_NAME

    names = [
        str(path.relative_to(folder))
        for path in folder.rglob(".*")
        if path.name.startswith(".sem-classify-") and path.name != RECORD_NAME
        if not (resumable and path.name.startswith(".sem-classify-training-"))
    ]
    return [f"left behind: {', '.join(names)}"] if names else []


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Names of files that are missing, not asked for, or hold something else, as faults."""
    wrong = []
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            how = "missing" if name not in found else "other" if name in expected else "too many"
            wrong.append(f"{name} is {how}")
    return [", ".join(wrong)] if wrong else []


def place_own_files(folder: Path) -> dict[str, str]:
    """Put files of the user's into an output folder, with names near to those of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("notes.txt", ".field_0.map-abcdefgh.tif", "field_1.truth.tif"):
        (folder / name).write_text(f"mine: {name}")
    for name in (".field_0-abcdefgh", "field_2.map.tif.backup"):
        (folder / name).mkdir()
        (folder / name / "mine.txt").write_text("mine")
    return harness.contents(folder)


def own_files_lost(folder: Path, before: dict[str, str]) -> list[str]:
    """Files of the user's that are gone or changed, as faults."""
    now = harness.contents(folder)
    lost = [name for name, content in before.items() if now.get(name) != content]
    return [f"the user's own {', '.join(lost)} lost or changed"] if lost else []


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
