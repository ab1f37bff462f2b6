"""Which models there are: those that come with the program, then the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.file import SUFFIX, read_card, read_model
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.network.backbone import BACKBONES, Backbone, backbone_path

DEMO_NAME = "demo"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model file in the catalogue.

    Attributes
    ----------
    name : str
        The file's stem; `load_model` takes it.
    card : ModelCard or None
        None where the file cannot be used.
    source : {"shipped", "user"}
        Comes with the program, or lies in the user's folder.
    problem : str
        Why the file cannot be used, in one sentence; empty for a usable one.
    """

    name: str
    path: Path
    card: ModelCard | None
    source: Literal["shipped", "user"]
    problem: str = ""


def shipped_models_folder() -> Path:
    """Give the folder of the models that come with the program."""
    return Path(__file__).parents[2] / "models"


def user_models_folder() -> Path:
    """Give the folder where the user's models are looked for; it need not exist yet."""
    from platformdirs import user_data_path

    return user_data_path("napari-sem-classify", appauthor=False) / "models"


def catalogue() -> list[ModelEntry]:
    """List the models: shipped ones first, the demo's before the others, then the user's by name.

    A broken file is listed with its problem, so that the user learns why it is not offered.
    """
    shipped = sorted(_files(shipped_models_folder()), key=lambda p: (p.stem != DEMO_NAME, p.stem))
    user = sorted(_files(user_models_folder()), key=lambda path: path.stem.lower())
    return [_entry(path, "shipped") for path in shipped] + [_entry(path, "user") for path in user]


def load_model(path_or_name: Path | str) -> TileClassifier:
    """Open a model as `find_model` finds it and `read_model` reads it, with their errors."""
    return read_model(find_model(path_or_name))


def find_model(path_or_name: Path | str) -> Path:
    """Find the file of a model given as a path or by its name in the catalogue.

    Raises
    ------
    ModelError
        When no file of that name is there; the sentence lists the names that are.
    """
    path = Path(path_or_name)
    if path.is_file() or path.suffix == SUFFIX or len(path.parts) > 1:
        return path
    name = str(path_or_name)
    files = [*_files(shipped_models_folder()), *_files(user_models_folder())]
    for file in files:
        if file.stem == name:
            return file
    for entry in catalogue():
        if entry.card is not None and entry.card.name == name:
            return entry.path
    names = ", ".join(file.stem for file in files) or "none yet"
    raise ModelError(
        f"There is no model called {name!r}: give the path of a {SUFFIX} file, "
        f"or one of the names in the catalogue ({names})."
    )


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """A network that models may stand on; `path` is None where its weights are not here yet."""

    info: Backbone
    path: Path | None


def networks() -> list[NetworkEntry]:
    """List the networks that models may stand on, the one that comes with the program first."""
    found = []
    for info in BACKBONES.values():
        try:
            found.append(NetworkEntry(info, backbone_path(info.id)))
        except ModelError:
            found.append(NetworkEntry(info, None))
    return found


def _files(folder: Path) -> list[Path]:
    # Names with a leading dot are files that a run is still writing.
    return [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]


def _entry(path: Path, source: Literal["shipped", "user"]) -> ModelEntry:
    try:
        return ModelEntry(path.stem, path, read_card(path), source)
    except ModelError as error:
        return ModelEntry(path.stem, path, None, source, str(error))
