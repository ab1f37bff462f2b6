"""The model card: what must be known to use a model on another image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from napari_sem_classify.core.common.checked import Fields, Malformed, shown
from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.plain_text import name_problem
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.model.transfer import Transfer

FORMAT = "napari-sem-classify"
FORMAT_VERSION = 3
"""Of models that even out mosaics in parts."""
AROUND_VERSION = 2
ALONE_VERSION = 1
"""Of models that look at tiles alone, so that earlier versions of this program open them too."""

MOST_CLASSES = 1000
"""A map holds a probability of each class for each cell; the ordinary one has two to ten."""

TILE_PX = (8, 16384)
NETWORK_PX = (16, 1024)
PIXEL_SIZE_NM = (1e-6, 1e12)
TEMPERATURE = (1e-3, 1e3)
_KINDS: tuple[Literal["taught"], Literal["fine-tuned"]] = ("taught", "fine-tuned")
_COLOUR = re.compile("#[0-9a-f]{6}")

# Okabe & Ito 2008, "Color universal design": told apart with every common colour blindness.
OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class: its name, its colour as ``#rrggbb``, and how a tile came to it.

    `contains` is the share of a tile, above 0 to 1, from which it was given to the class by what it
    contains, however little that covers of it. The tiles of such a class tell where it is, and
    nothing of its area. None for a class that fills its tiles.
    """

    name: str
    colour: str
    contains: float | None = None

    @property
    def title(self) -> str:
        """What the cells of the class are: "oxide", or "tiles with crack"."""
        return self.name if self.contains is None else f"tiles with {self.name}"

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
    surroundings : Surroundings
        What of a tile's surroundings it looks at; models from before look at the tile alone.
    transfer : Transfer or None
        What is known of it on other specimens; None where it carries no heads to judge by.
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
    format_version: int = ALONE_VERSION
    dense: bool = False
    surroundings: Surroundings = ALONE
    transfer: Transfer | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the head's outputs."""
        return tuple(info.name for info in self.classes)

    def looking(self, recipe: IntensityRecipe) -> ModelCard:
        """The same, with grey values stretched over what a recipe says."""
        over = replace(self.intensity, over=recipe.over, frame_px=recipe.frame_px)
        return replace(self, intensity=over).versioned()

    def versioned(self) -> ModelCard:
        """The same with the oldest format version that knows all of it."""
        version = ALONE_VERSION
        if self.surroundings != ALONE or self.transfer is not None:
            version = AROUND_VERSION
        if self.intensity.over != "image":
            version = FORMAT_VERSION
        return replace(self, format_version=version)

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return {
            "format": FORMAT,
            **asdict(self),
            "intensity": self.intensity.to_dict(),
            "classes": [class_dict(info) for info in self.classes],
        }

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
            return cls._from_fields(Fields(value))
        except Malformed as error:
            message = f"{where} has an impossible model card ({error}): the file is damaged."
            raise ModelError(message) from error

    @classmethod
    def _from_fields(cls, card: Fields) -> ModelCard:
        calibrated, stages = card.has("pixel_size_nm"), card.wholes("stages", 1, 9)
        record = _record(card)
        classes = classes_from(card.objects("classes", MOST_CLASSES), least=2)
        if not stages or sorted(set(stages)) != list(stages):
            raise Malformed("stages do not ascend")
        return cls(
            name=card.name("name"),
            classes=_with_rules(classes, record),
            tile_px=card.whole("tile_px", *TILE_PX),
            network_px=card.whole("network_px", *NETWORK_PX),
            pixel_size_nm=card.number("pixel_size_nm", *PIXEL_SIZE_NM) if calibrated else None,
            backbone_id=card.name("backbone_id"),
            backbone_sha256=card.text("backbone_sha256"),
            intensity=IntensityRecipe.from_fields(card.object("intensity")),
            stages=stages,
            kind=card.one_of("kind", _KINDS),
            temperature=card.number("temperature", *TEMPERATURE),
            scores=card.plain("scores"),
            record=record,
            format_version=card.whole("format_version", 1, FORMAT_VERSION),
            dense=card.flag("dense") if card.has("dense") else False,
            surroundings=Surroundings.from_fields(card.object("surroundings"))
            if card.has("surroundings")
            else ALONE,
            transfer=Transfer.from_fields(card.object("transfer"), len(classes))
            if card.has("transfer")
            else None,
        )


def _record(card: Fields) -> dict[str, Any]:
    """A card's record, with what is read of it again checked."""
    if card.has("record"):
        record = card.object("record")
        if record.has("settings"):
            record.object("settings")
        if record.has("learned_from") and not all(
            isinstance(each, str) for each in record.items("learned_from")
        ):
            raise Malformed("record.learned_from does not name images")
    return card.plain("record")


def _with_rules(classes: tuple[ClassInfo, ...], record: Mapping[str, Any]) -> tuple[ClassInfo, ...]:
    """Cards from before told in their record alone which classes are found by what tiles hold."""
    rules = (record.get("settings") or {}).get("contains")
    if not isinstance(rules, Mapping):
        return classes
    known = {name: share for name, share in rules.items() if is_share(share)}
    return tuple(
        info if info.contains is not None else replace(info, contains=known.get(info.name))
        for info in classes
    )


def is_share(value: Any) -> bool:
    """Whether a value is a number above 0 and up to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def classes_from(items: Iterable[Fields], least: int = 0) -> tuple[ClassInfo, ...]:
    """Classes as a card, a review, annotations and a map name them.

    Each has ``name`` and ``colour``, and ``contains`` where it is found by what tiles hold.

    Raises
    ------
    Malformed
        When a name or a colour is none, a name comes twice, or there are fewer than `least`, or
        more than `MOST_CLASSES`.
    """
    classes = tuple(
        ClassInfo(each.name("name"), colour_of(each), _contains(each)) for each in items
    )
    problem = classes_problem([info.name for info in classes], least)
    if problem:
        raise Malformed(problem)
    return classes


def classes_problem(names: Sequence[str], least: int = 0) -> str:
    """Why these cannot be the classes of a model, as part of a sentence; "" if they can."""
    if len(names) < least:
        return f"it names {len(names)} classes, and two or more are told apart"
    if len(names) > MOST_CLASSES:
        return f"it names {len(names)} classes, more than {MOST_CLASSES}"
    seen: set[str] = set()
    for name in names:
        problem = "comes twice" if name in seen else name_problem(name)
        if problem:
            return f"the class {shown(name)} {problem}"
        seen.add(name)
    return ""


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


def _contains(item: Fields) -> float | None:
    return item.number("contains", 1e-9, 1.0) if item.has("contains") else None


def class_dict(info: ClassInfo) -> dict[str, Any]:
    """A class as plain JSON values, which `classes_from` reads."""
    told: dict[str, Any] = {"name": info.name, "colour": info.colour}
    return told if info.contains is None else told | {"contains": info.contains}


def colour_of(item: Fields) -> str:
    """An object's ``colour`` as ``#rrggbb`` in small letters."""
    text = item.text("colour").lower()
    if not _COLOUR.fullmatch(text):
        raise Malformed(
            f"{item.place}colour is {shown(item.value['colour'])}, not a #rrggbb colour"
        )
    return text
