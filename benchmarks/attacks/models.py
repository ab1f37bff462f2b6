"""Mutated model files, to ``models info`` and ``classify``: a map, or one sentence at once.

    python -m benchmarks.attacks.models --times 500

The card's values and text, the file's header, its bytes and its tensors are changed in turn, of a
taught and of a fine-tuned model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks import harness, inputs
from benchmarks.attacks.harness import Tally
from benchmarks.attacks.odd_values import CONTROLS, ODD, changed

SECONDS = 30.0
MEGABYTES = 1500
HEADER = 8


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:HEADER], "little")
    return json.loads(content[HEADER : HEADER + length]), content[HEADER + length :]


def _joined(header: str, data: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(HEADER, "little") + text + data


def _card(content: bytes, chance: random.Random) -> bytes:
    header, data = _split(content)
    header["__metadata__"]["card"] = changed(json.loads(header["__metadata__"]["card"]), chance)
    return _joined(json.dumps(header), data)


def _card_text(content: bytes, chance: random.Random) -> bytes:
    header, data = _split(content)
    text = harness.mutated(header["__metadata__"]["card"].encode(), chance)
    header["__metadata__"]["card"] = text.decode("utf-8", "replace")
    return _joined(json.dumps(header), data)


def _class_names(content: bytes, chance: random.Random) -> bytes:
    header, data = _split(content)
    card = json.loads(header["__metadata__"]["card"])
    name = chance.choice([*CONTROLS, *(each for each in ODD if isinstance(each, str))])
    if chance.random() < 0.5:
        card["classes"][0]["name"] = f"a{name}b" if len(name) == 1 else name
    else:
        card["classes"][0]["colour"] = name
    if chance.random() < 0.1:
        card["classes"] = card["classes"] * 5000
    header["__metadata__"]["card"] = json.dumps(card)
    return _joined(json.dumps(header), data)


def _header(content: bytes, chance: random.Random) -> bytes:
    header, data = _split(content)
    return _joined(changed(header, chance), data)


def _tensors(content: bytes, chance: random.Random) -> bytes:
    from safetensors.numpy import load, save

    metadata = _split(content)[0]["__metadata__"]
    tensors = load(content)
    name = chance.choice(sorted(tensors))
    old = tensors[name]
    value = chance.choice((np.nan, np.inf, 3e38, -3e38, 1e-45, 0.0))
    kind = chance.randrange(6)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[chance.choice(("x", "head.x", "trunk.x", "trunk."))] = old
    elif kind == 2:
        tensors[name] = old.astype(chance.choice((np.float16, np.float64, np.int8, np.bool_)))
    elif kind == 3:
        shape = chance.choice(((), (0,), (old.size,), (1, *old.shape), old.shape[::-1]))
        tensors[name] = np.resize(old, shape)
    elif kind == 4:
        flat = old.astype(old.dtype).reshape(-1)
        with np.errstate(all="ignore"):
            flat[chance.randrange(max(1, flat.size)) :] = value
        tensors[name] = flat.reshape(old.shape)
    else:
        with np.errstate(all="ignore"):
            tensors[name] = np.full_like(old, value)
    return save(tensors, metadata)


KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "card's values": _card,
    "card's text": _card_text,
    "names and colours": _class_names,
    "header": _header,
    "tensors": _tensors,
    "bytes": harness.mutated,
}


def _fine_tuned(taught: Path, out: Path) -> None:
    """The taught model with the tiny network as one of its own."""
    from dataclasses import replace

    from safetensors.numpy import load_file

    from napari_sem_classify.core.model.file import read_model, save_model
    from napari_sem_classify.core.network.backbone import BACKBONES

    model = read_model(taught)
    trunk = load_file(BACKBONES[model.card.backbone_id].filename)
    save_model(out, replace(model, card=replace(model.card, kind="fine-tuned"), trunk=trunk))


def _attack(model: Path, image: Path, out: Path) -> list[str]:
    limits = {"seconds": SECONDS, "megabytes": MEGABYTES}
    wrong = harness.faults(harness.run(["models", "info", model], **limits))
    wrong += harness.faults(harness.run(["models", "info", model, "--json"], **limits))
    usual = ("--also", "geojson,svg", "--report", "--again")
    ran = harness.run(
        ["classify", image, "--model", model, "--out", out, *usual, *inputs.ON_CPU], **limits
    )
    return wrong + harness.faults(ran)


def attacks(folder: Path, times: int, seed: int, only: str) -> Iterator[Tally]:
    """Each kind of change as often as the others, `times` in all."""
    image = inputs.write_images(folder / "images", 1, rows=96, cols=96)[0]
    taught = inputs.taught_model(folder)
    tuned = folder / "tuned.safetensors"
    if harness.run(lambda: _fine_tuned(taught, tuned)).status:
        raise RuntimeError("The fine-tuned model could not be made.")
    starts = [taught.read_bytes(), taught.read_bytes(), tuned.read_bytes()]
    for number, (kind, change) in enumerate(KINDS.items()):
        tally = Tally(f"mutated models: {kind}")
        if only not in kind:
            continue
        for attack in range(number, times, len(KINDS)):
            chance = random.Random(f"{seed} {kind} {attack}")
            model = folder / "attack.safetensors"
            model.write_bytes(change(chance.choice(starts), chance))
            tally.count(_attack(model, image, folder / "out"), f"attack {attack}")
        yield tally


def main() -> None:
    """Run the attacks and print the table."""
    chosen = harness.options(__doc__ or "", times=500).parse_args()
    with harness.workplace() as folder:
        harness.warm_up(network=True)
        harness.print_table(attacks(folder, chosen.times, chosen.seed, chosen.only))


if __name__ == "__main__":
    main()
