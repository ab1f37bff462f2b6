"""The model card: what must be known to use a model on another image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.image.intensity import IntensityRecipe

FORMAT = "napari-sem-classify"
FORMAT_VERSION = 1

# Okabe & Ito 2008, "Color universal design": told apart with every common colour blindness.
OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class: its name and its colour as ``#rrggbb``."""

    name: str
    colour: str

    @property
    def rgb(self) -> list[int]:
        """Red, green and blue, 0 to 255."""
        return [int(self.colour[at : at + 2], 16) for at in (1, 3, 5)]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What must be known to use a model; kept as JSON in the model file's header.

    Attributes
    ----------
    name : str
        Shown to the user.
    classes : tuple of ClassInfo
        In the order of the head's outputs; at least two.
    tile_px : int
        Side of the tiles it learned from, in pixels of its images.
    network_px : int
        Side to which a tile is resized before the network sees it.
    pixel_size_nm : float or None
        Pixel size of the images it learned from; None where they were not calibrated.
    backbone_id, backbone_sha256 : str
        The trunk it stands on.
    stages : tuple of int
        Stages of the trunk whose pooled outputs make the features.
    kind : {"taught", "fine-tuned"}
        A taught model holds the head alone, a fine-tuned one its trunk too.
    temperature : float
        Logits are divided by it, so that confidences are calibrated.
    scores : mapping
        Measured scores and how they were measured.
    record : mapping
        Where it comes from: images, annotations, versions, seeds, date.
    dense : bool
        Whether the head learned from dense evaluation, see `network.dense`.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    tile_px: int
    network_px: int
    pixel_size_nm: float | None
    backbone_id: str
    backbone_sha256: str
    intensity: IntensityRecipe = IntensityRecipe()
    stages: tuple[int, ...] = (2, 3, 4)
    kind: Literal["taught", "fine-tuned"] = "taught"
    temperature: float = 1.0
    scores: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    dense: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the head's outputs."""
        return tuple(info.name for info in self.classes)

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Any, where: str) -> ModelCard:
        """Read a card from a header's decoded JSON, checking each field; `where` is the file.

        Raises
        ------
        ModelError
            When it is no card, of a newer format, or a field is missing or impossible.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ModelError(f"{where} is not a model of this program: choose another file.")
        version = value.get("format_version")
        if not isinstance(version, int) or version < 1:
            raise ModelError(f"{where} names no model format version: the file is damaged.")
        if version > FORMAT_VERSION:
            raise ModelError(
                f"{where} has model format {version}, and this program reads up to "
                f"{FORMAT_VERSION}: update napari-sem-classify."
            )
        try:
            card = cls(
                name=str(value["name"]),
                classes=tuple(
                    ClassInfo(str(item["name"]), colour_of(item["colour"]))
                    for item in value["classes"]
                ),
                tile_px=int(value["tile_px"]),
                network_px=int(value["network_px"]),
                pixel_size_nm=_optional_positive(value["pixel_size_nm"]),
                backbone_id=str(value["backbone_id"]),
                backbone_sha256=str(value["backbone_sha256"]),
                intensity=IntensityRecipe.from_dict(value["intensity"]),
                stages=tuple(int(stage) for stage in value["stages"]),
                kind=_kind(value["kind"]),
                temperature=float(value["temperature"]),
                scores=dict(value.get("scores", {})),
                record=dict(value.get("record", {})),
                format_version=version,
                dense=bool(value.get("dense", False)),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"{where} has a model card that cannot be read ({error!r}): the file is damaged."
            ) from error
        names = card.class_names
        if len(names) < 2 or len(set(names)) != len(names):
            raise ModelError(f"{where} does not name two or more different classes.")
        if not (8 <= card.tile_px <= 16384 and 16 <= card.network_px <= 1024):
            raise ModelError(f"{where} has an impossible tile size: the file is damaged.")
        if not (card.stages and min(card.stages) >= 1 and card.temperature > 0):
            raise ModelError(f"{where} has an impossible model card: the file is damaged.")
        return card


def default_colours(count: int) -> tuple[str, ...]:
    """Colours for `count` classes: Okabe–Ito first, then evenly spaced hues."""
    import colorsys

    extra = [
        colorsys.hls_to_rgb((index * 0.618034) % 1.0, 0.35 + 0.3 * (index % 2), 0.6)
        for index in range(max(0, count - len(OKABE_ITO)))
    ]
    more = tuple(
        "#" + "".join(f"{round(255 * channel):02x}" for channel in colour) for colour in extra
    )
    return (OKABE_ITO + more)[:count]


def colour_of(value: Any) -> str:
    """A colour as ``#rrggbb``, read from anything; raises ValueError where it is none."""
    text = str(value).lower()
    if len(text) != 7 or text[0] != "#":
        raise ValueError(f"{value!r} is no colour")
    int(text[1:], 16)
    return text


def _optional_positive(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not 0 < number < 1e12:
        raise ValueError(f"{value!r} is no pixel size")
    return number


def _kind(value: Any) -> Literal["taught", "fine-tuned"]:
    if value == "taught":
        return "taught"
    if value == "fine-tuned":
        return "fine-tuned"
    raise ValueError(f"{value!r} is no kind of model")
