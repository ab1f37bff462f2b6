"""Where a training is, on disk, so that a killed run goes on: safetensors, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.files import to_json, write_tensors
from napari_sem_classify.core.common.temporaries import MARK
from napari_sem_classify.core.image.file_names import stem_of

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "napari-sem-classify training 4"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training after some epoch.

    Attributes
    ----------
    run : str
        Names data, split, preset and seed: a checkpoint of another run is not used.
    position : mapping
        Stage, phase and epochs done, history and best score, as JSON values.
    tensors : mapping of str to Tensor
        ``model.*``, ``best.*``, ``start.*``, ``logits.best``, ``losses.*`` and
        ``optimiser.<parameter>.<name>``.
    """

    run: str
    position: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def checkpoint_path(model_path: Path) -> Path:
    """Where the checkpoint of a model that is being made lies, by a name that is nobody else's."""
    return model_path.with_name(f"{MARK}training-{stem_of(model_path)}.safetensors")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, all of it or nothing.

    Raises
    ------
    OutputError
        When it cannot be written; an older one is then as it was.
    """
    from safetensors.torch import save_file

    metadata = {"format": FORMAT, "run": checkpoint.run, "position": to_json(checkpoint.position)}
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()
    }
    write_tensors(path, save_file, tensors, metadata)


def read_checkpoint(path: Path, run: str) -> Checkpoint | None:
    """Read the checkpoint of a run; None where there is none, it is another's or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("run") != run:
                return None
            position = json.loads(metadata["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return Checkpoint(run, position, tensors)


def pack_optimiser(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A torch optimiser's moments as named tensors; rates are not kept: the schedule sets them."""
    return {
        f"optimiser.{number}.{key}": value
        for number, values in state["state"].items()
        for key, value in values.items()
    }


def unpack_optimiser(
    tensors: Mapping[str, Tensor], groups: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The state that `pack_optimiser` took apart, for parameters in these groups."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = value
    return {"state": state, "param_groups": list(groups)}
