"""Mutated records and tables: read, or refused in one sentence, and nothing of them is run.

    python -m benchmarks.attacks.records --times 350

Run records and class maps to ``rerun`` and ``export``, annotations with their way of looking,
reviews and batch notes, `times` in all; and a third as many review tables and tables of images.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.attacks import harness, inputs
from benchmarks.attacks.harness import Tally
from benchmarks.attacks.odd_values import CONTROLS, ODD, changed, told

SECONDS = 30.0
LIMITS = {"seconds": SECONDS, "megabytes": 1500}
STEM = "field_0"
MOST_TOLD = 3
RECORD_NAME = ".sem-classify-record.jsonl"


class Attacks:
    """What was made without attack in a folder, and each kind of attack on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = inputs.write_images(folder / "images", 1, rows=96, cols=96)[0]
        self.model = inputs.taught_model(folder)
        self.run = folder / "run"
        self._well("classify", self.image, "--model", self.model, "--out", self.run, *inputs.ON_CPU)
        self.review = folder / "review.json"
        self._well("review", "start", self.run, "--out", self.review, "--cells", 20)
        self.notes = folder / "one.annotations.json"
        if harness.run(self._annotate).status:
            raise RuntimeError("The annotations could not be made.")

    def _well(self, *arguments: object) -> None:
        ran = harness.run(arguments)
        if ran.status:
            raise RuntimeError(f"{arguments[0]} failed: {ran.err}")

    def _annotate(self) -> int:
        from napari_sem_classify.core.annotate.annotation_file import save_annotations
        from napari_sem_classify.core.annotate.annotation_set import Annotations
        from napari_sem_classify.core.annotate.place import fingerprint
        from napari_sem_classify.core.image.intensity import IntensityRecipe
        from napari_sem_classify.core.model.recipe import Recipe, RecipeChoice, RecipeScore
        from napari_sem_classify.core.sem_io import open_image

        image = open_image(self.image)
        key = fingerprint(image)
        made = Annotations().with_class("matrix").with_class("oxide").with_image(image, key)
        for at, name in ((0, "matrix"), (32, "oxide")):
            made = made.with_marks(key, [(at, 0, 32), (at, 32, 32)], name)
        made = made.with_rule("oxide", 0.02)
        ways = [Recipe(), Recipe(IntensityRecipe(per_tile=True), 224)]
        tried = tuple(RecipeScore(way, 0.8, 0.7, 0.0, 0.01) for way in ways)
        choice = RecipeChoice(ways[1], tried, "It won.")
        save_annotations(self.notes, replace(made, looking=choice))
        return 0

    def run_records(self, chance: random.Random) -> list[str]:
        """A run's summary, to ``rerun``."""
        path = self.run / f"{STEM}.summary.json"
        odd = self._odd(path, path.with_name("odd.summary.json"), chance)
        return harness.faults(harness.run(["rerun", odd, *inputs.ON_CPU], **LIMITS))

    def maps(self, chance: random.Random) -> list[str]:
        """A class map's description, to ``export`` and ``rerun``."""
        path = self.folder / "maps" / "odd.map.tif"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        made = harness.run(lambda: self._odd_map(path, chance))
        if made.status:
            raise RuntimeError(f"No map was written: {made.err}")
        out = self.folder / "exported"
        kinds = "tiles,geojson,svg,report,regions,summary,fractions"
        ran = harness.run(["export", path, "--as", kinds, "--out", out], **LIMITS)
        again = harness.run(["rerun", path, *inputs.ON_CPU], **LIMITS)
        return harness.faults(ran) + harness.faults(again)

    def _odd_map(self, path: Path, chance: random.Random) -> int:
        from napari_sem_classify.core.maps import map_file

        saved = map_file.read_map(self.run / f"{STEM}.map.tif")
        assert saved is not None
        text = changed(json.loads(map_file.to_json(map_file.describe(saved))), chance)
        map_file.to_json = lambda _: json.dumps(json.loads(text)) if _is_json(text) else text
        map_file.write_map(saved, path)
        return 0

    def annotations(self, chance: random.Random) -> list[str]:
        """Annotations, read, written again and exported."""
        odd = self._odd(self.notes, self.folder / "odd.annotations.json", chance)
        return harness.faults(harness.run(lambda: told(lambda: _use_annotations(odd)), **LIMITS))

    def reviews(self, chance: random.Random) -> list[str]:
        """A review, to ``review estimate``."""
        odd = self._odd(self.review, self.folder / "odd.json", chance)
        return harness.faults(harness.run(["review", "estimate", odd, self.run], **LIMITS))

    def batch_notes(self, chance: random.Random) -> list[str]:
        """What a batch noted of its finished images, to ``classify`` into the same folder."""
        out = self.folder / "resumed"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.run, out)
        path = out / RECORD_NAME
        odd = []
        for line in path.read_text().splitlines():
            text = changed(json.loads(line.partition(" ")[2]), chance)
            odd.append(_with_sum(text.encode("utf-8", "surrogatepass")))
        path.write_bytes(b"\n".join(odd) + b"\n")
        arguments = ["classify", self.image, "--model", self.model, "--out", out, "--report"]
        return harness.faults(harness.run([*arguments, *inputs.ON_CPU], **LIMITS), 0)

    def review_tables(self, chance: random.Random) -> list[str]:
        """A filled table, to ``review answer``."""
        review, table = self.folder / "answered.json", self.folder / "answered.csv"
        shutil.copy(self.review, review)
        table.write_bytes(_odd_table(self.review.with_suffix(".csv").read_bytes(), chance))
        ran = harness.run(["review", "answer", review, "--table", table], **LIMITS)
        return harness.faults(ran)

    def image_tables(self, chance: random.Random) -> list[str]:
        """A table of images and classes, to ``evaluate``."""
        table = self.folder / "images.csv"
        rows = [f"{self.image},{name},one" for name in ("matrix", "oxide")]
        table.write_bytes(_odd_table("\n".join(["path,class,group", *rows]).encode(), chance))
        arguments = ["evaluate", table, "--model", self.model, "--tile", inputs.TILE]
        ran = harness.run([*arguments, *inputs.ON_CPU], **LIMITS)
        return harness.faults(ran)

    def _odd(self, path: Path, odd: Path, chance: random.Random) -> Path:
        text = changed(json.loads(path.read_text()), chance)
        odd.write_bytes(text.encode("utf-8", "surrogatepass"))
        return odd


def _with_sum(text: bytes) -> bytes:
    """A line of a folder's record with the sum that belongs to it, as a stranger can write it."""
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode() + b" " + text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _use_annotations(path: Path) -> None:
    from napari_sem_classify.core.annotate import annotation_file as files

    found = files.load_annotations(path)
    again = path.with_name("again.json")
    files.save_annotations(again, found)
    assert files.load_annotations(again) == found, "it was not read as it was written"
    files.export_annotations(path.with_name("a.csv"), files.CSV, found, "")
    for image in found.images:
        if max(image.shape) < 10_000:
            for kind in (files.TIFF, files.GEOJSON):
                files.export_annotations(path.with_name("a"), kind, found, image.key)
    print(found.class_names)


def _odd_table(content: bytes, chance: random.Random) -> bytes:
    lines = content.decode().splitlines()
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        cells = lines[number].split(",")
        at = chance.randrange(len(cells))
        odd: Any = chance.choice([*CONTROLS, *ODD])
        kind = chance.randrange(5)
        if kind == 0:
            del cells[at]
        elif kind == 1:
            cells += [cells[at]] * chance.choice((1, 5000))
        elif kind == 2:
            cells[at] += chance.choice(('"', '"' * 3, "\u00b2", "9" * 5000, "x" * 200_000))
        else:
            cells[at] = str(odd)
        lines[number] = ",".join(cells)
        if chance.random() < 0.1:
            lines *= 3
    made = "\n".join(lines).encode("utf-8", "surrogatepass")
    return harness.mutated(made, chance) if chance.random() < 0.25 else made


def attacks(folder: Path, times: int, seed: int, only: str) -> Iterator[Tally]:
    """Each kind of record as often as the others; tables a third as often, and no less than 1."""
    at = Attacks(folder)
    records: dict[str, Callable[[random.Random], list[str]]] = {
        "run records": at.run_records,
        "class maps": at.maps,
        "annotations": at.annotations,
        "reviews": at.reviews,
        "batch notes": at.batch_notes,
    }
    tables = {"review tables": at.review_tables, "tables of images": at.image_tables}
    for kind, attack in {**records, **tables}.items():
        if only not in kind:
            continue
        tally = Tally(f"mutated {kind}")
        count = -(-times // len(records)) if kind in records else -(-times * 12 // 35)
        for number in range(count):
            faults = attack(random.Random(f"{seed} {kind} {number}"))
            tally.count(faults[:MOST_TOLD], f"attack {number}")
        yield tally


def main() -> None:
    """Run the attacks and print the table."""
    chosen = harness.options(__doc__ or "", times=350).parse_args()
    with harness.workplace() as folder:
        harness.warm_up(network=True)
        harness.print_table(attacks(folder, chosen.times, chosen.seed, chosen.only))


if __name__ == "__main__":
    main()
