"""The model file: one ``.safetensors`` with the head's tensors and the card in its header.

A safetensors file is eight bytes of header length (little endian), a JSON header and the tensors'
bytes (https://github.com/huggingface/safetensors#format). It holds numbers and text only, so
opening a file from a stranger cannot run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Malformed, decoded_json
from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.files import to_json, write_tensors
from napari_sem_classify.core.common.output_folder import output_file
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.network.backbone import (
    BACKBONES,
    backbone_sha256,
    user_weights_folder,
)

SUFFIX = ".safetensors"
MAX_BYTES = 2_000_000_000
MAX_HEADER_BYTES = 16_000_000
"""A card with the record of thousands of training images stays below a few megabytes."""

_HEAD_NAMES = ("mean", "scale", "weight", "bias")
_USUAL = "usual"
_TRUNK = "trunk."
_STAGES = "stages."
_STAGE_NAMES = ("weight", "bias", "centre", "scale")


def model_path(path: Path | str) -> Path:
    """The path of a model file: with the suffix ``.safetensors`` where it has another or none."""
    path = Path(path)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def save_model(path: Path | str, classifier: TileClassifier, *, confirmed: bool = False) -> Path:
    """Write a model file, all of it or nothing, and give its path.

    Parameters
    ----------
    path : Path or str
        See `model_path`.
    confirmed : bool
        Whether the user said that a file at just this path may be replaced; else only one that
        this program wrote there is.

    Raises
    ------
    ModelError
        When head and card do not belong together, or a weight is not a finite number.
    OutputError
        When the file cannot be written. A file that was there before is then as it was.
    """
    from safetensors.numpy import save_file

    path, asked = model_path(path), Path(path)
    where = f"The model {classifier.card.name!r}"
    _check(classifier, where)
    told = to_json(classifier.card.to_dict())
    ModelCard.from_dict(decoded_json(told), where)  # nothing is written that is not read back
    head = classifier.head
    tensors: dict[str, NDArray[Any]] = {
        f"head.{name}": np.ascontiguousarray(getattr(head, name), dtype=np.float32)
        for name in _head_names(classifier.card)
    }
    if classifier.stages is not None:
        for name in _STAGE_NAMES:
            value = getattr(classifier.stages, name)
            tensors[_STAGES + name] = np.ascontiguousarray(value, dtype=np.float32)
    for name, value in (classifier.trunk or {}).items():
        tensors[_TRUNK + name] = np.asarray(value, order="C")  # keeps a scalar a scalar
    # Who confirmed "M" was not asked about "M.safetensors".
    with output_file(path, confirmed=confirmed and path == asked) as temporary:
        write_tensors(temporary, save_file, tensors, {"card": told})
    return path


def read_model(path: Path) -> TileClassifier:
    """Open a model file.

    Raises
    ------
    ModelError
        When there is none, or the file is damaged, too large, of a newer format, made for another
        network, or holds anything else than it should.
    """
    card, tensors = _read(path, with_tensors=True)
    names = _head_names(card)
    missing = [name for name in names if f"head.{name}" not in tensors]
    if missing:
        raise ModelError(f"{path} lacks the weights head.{missing[0]}: the file is damaged.")
    head = Head(**{name: tensors.pop(f"head.{name}") for name in names})
    stages = _stages(card, tensors, path)
    foreign = [name for name in tensors if not name.startswith(_TRUNK)]
    if foreign:
        raise ModelError(f"{path} holds unknown weights ({foreign[0]}): the file is damaged.")
    trunk = {name.removeprefix(_TRUNK): value for name, value in tensors.items()}
    classifier = TileClassifier(card, head, trunk or None, path, stages)
    _check(classifier, str(path))
    _check_user_weights(card, str(path))
    return classifier


def read_card(path: Path) -> ModelCard:
    """Read a model file's card alone; raises as `read_model`, but for what only weights show."""
    return _read(path, with_tensors=False)[0]


def head_sha256(head: Head) -> str:
    """Give the sha256 of a head's numbers, which names a model whatever its file is called."""
    import hashlib

    digest = hashlib.sha256()
    for name in (*_HEAD_NAMES, _USUAL):
        if getattr(head, name) is not None:
            digest.update(np.ascontiguousarray(getattr(head, name), dtype="<f4").tobytes())
    return digest.hexdigest()


def _stages(card: ModelCard, tensors: dict[str, NDArray[Any]], path: Path) -> StageHeads | None:
    """The heads of the stages, taken out of the tensors of a file."""
    if card.transfer is None:
        return None
    try:
        weight, bias, centre, scale = (tensors.pop(_STAGES + name) for name in _STAGE_NAMES)
    except KeyError as error:
        raise ModelError(
            f"{path} lacks the weights {error.args[0]}: the file is damaged."
        ) from error
    sizes = BACKBONES[card.backbone_id].architecture.sizes_of(card.stages)
    return StageHeads(weight, bias, sizes, centre, scale)


def _head_names(card: ModelCard) -> tuple[str, ...]:
    """What the head of a card's model holds."""
    return (*_HEAD_NAMES, _USUAL) if card.surroundings.alignment else _HEAD_NAMES


def _read(path: Path, *, with_tensors: bool) -> tuple[ModelCard, dict[str, NDArray[Any]]]:
    _check_frame(path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            card = _card(metadata, path)
            names = list(file.keys()) if with_tensors else []
            # Copied, since Windows refuses to replace a file that is still mapped.
            tensors = {name: np.array(file.get_tensor(name)) for name in names}
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path) from error
    return card, tensors


def _check_frame(path: Path) -> None:
    """Refuse what cannot be a model file before any library reads it."""
    try:
        if not path.is_file():
            raise ModelError(f"There is no model file {path}: check the name and the folder.")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read ({error.strerror}).") from error
    if size > MAX_BYTES:
        raise ModelError(
            f"{path} is too large for a model (over {MAX_BYTES / 1e9:.0f} GB): choose another file."
        )
    if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"):
        raise ModelError(
            f"{path} is a Python pickle, which could run code, and was not opened: "
            f"choose a model saved as {SUFFIX}."
        )
    header = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{" or header < 2:
        raise ModelError(f"{path} is not a model file: choose a {SUFFIX} file of this program.")
    if header > MAX_HEADER_BYTES:
        raise ModelError(f"{path} has too large a header for a model: choose another file.")
    if 8 + header > size:
        raise _damaged(path)


def _card(metadata: Mapping[str, str], path: Path) -> ModelCard:
    text = metadata.get("card")
    if text is None:
        raise ModelError(
            f"{path} holds weights without a model card, so it is not a model of this program: "
            "choose another file."
        )
    try:
        value = decoded_json(text)
    except Malformed as error:
        message = f"{path} has a model card that cannot be read ({error}): the file is damaged."
        raise ModelError(message) from error
    card = ModelCard.from_dict(value, str(path))
    _check_backbone(card, str(path))
    return card


def _check_backbone(card: ModelCard, where: str) -> None:
    info = BACKBONES.get(card.backbone_id)
    if info is None:
        raise ModelError(
            f"{where} was made for the network {card.backbone_id!r}, which this program does not "
            "know: update napari-sem-classify."
        )
    if not set(card.stages) <= set(info.architecture.stages):
        raise ModelError(f"{where} has an impossible model card: the file is damaged.")
    # A fine-tuned model brings its own weights; only the network's form has to be known.
    known = card.backbone_sha256.startswith(info.sha256) and len(card.backbone_sha256) == 64
    if card.kind == "taught" and not known:
        raise ModelError(
            f"{where} was made for other weights of {info.title} than this program has: "
            "teach it again, or install the version that made it."
        )


def _check_user_weights(card: ModelCard, where: str) -> None:
    """Refuse a taught model whose weights the user has in another version.

    Where the file is not there yet, making the engine says where to put it.
    """
    info = BACKBONES[card.backbone_id]
    weights = user_weights_folder() / info.filename
    if card.kind != "taught" or info.shipped or not weights.is_file():
        return
    if backbone_sha256(card.backbone_id) != card.backbone_sha256:
        raise ModelError(
            f"{where} was made for another version of {weights} than the one there: "
            "put the right one into the folder, or teach the model again."
        )


def _check(classifier: TileClassifier, where: str) -> None:
    """Prove that head, trunk and card belong together."""
    card, head, stages = classifier.card, classifier.head, classifier.stages
    _check_backbone(card, where)
    tile = BACKBONES[card.backbone_id].architecture.feature_size(card.stages)
    features = tile * (1 + card.surroundings.context)
    classes = len(card.classes)
    shapes = ((features,), (features,), (classes, features), (classes,), (tile,))
    told = [
        (f"head.{name}", getattr(head, name), shape)
        for name, shape in zip(_head_names(card), shapes, strict=False)
    ]
    if (stages is None) != (card.transfer is None):
        has = "lacks" if stages is None else "holds"
        raise ModelError(f"{where} {has} heads of the stages, against its card: teach it again.")
    if stages is not None:
        theirs = ((classes, features), (len(card.stages), classes), (tile,), (tile,))
        told += [
            (_STAGES + name, getattr(stages, name), shape)
            for name, shape in zip(_STAGE_NAMES, theirs, strict=True)
        ]
    for name, given, shape in told:
        value = np.asarray(given)
        if value.dtype != np.float32 or value.shape != shape:
            raise ModelError(
                f"{where} does not fit its card: {name} is {value.dtype} {value.shape}, and "
                f"{classes} classes on {features} features need float32 {shape}."
            )
        if not np.isfinite(value).all():
            raise ModelError(f"{where} holds weights that are no numbers (NaN): teach it again.")
    if not (head.scale > 0).all() or (stages is not None and not (stages.scale > 0).all()):
        raise ModelError(f"{where} holds a scale of zero or less: the file is damaged.")
    if (card.kind == "fine-tuned") != bool(classifier.trunk):
        has = "holds" if classifier.trunk else "lacks"
        raise ModelError(f"{where} is a {card.kind} model but {has} a network of its own.")
    for name, value in (classifier.trunk or {}).items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ModelError(
                f"{where} holds weights that are no numbers (NaN) in {name}: train it again."
            )


def _damaged(path: Path) -> ModelError:
    return ModelError(f"The model file {path} is damaged or cut short: copy it again.")
