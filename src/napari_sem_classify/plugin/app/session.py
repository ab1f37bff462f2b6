"""What the widgets of one viewer share: images as read, maps made, speeds measured.

Everything hangs on the layers themselves (weakly), so that a deleted layer takes its part along
and a renamed one keeps it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sem_classify.core.model.head import TileClassifier
    from napari_sem_classify.core.network.engine.base import Engine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GridPlan:
    """Tiles laid by hand over one image; `keep` is False for those left out."""

    grid: TileGrid
    keep: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model loaded on a device, with its speed: of a short trial, or of the last run."""

    classifier: TileClassifier
    engine: Engine
    tiles_per_s: float


@dataclass(eq=False)
class Session:
    """What the widgets of one viewer share.

    Attributes
    ----------
    images : layer -> SemImage
        Image layers as the program sees them, with the user's corrections.
    plans : image layer -> GridPlan
        Tiles laid with *Tile image*.
    maps : labels layer -> {plane: ClassMap}
        Results behind the class-map layers.
    sources : made layer -> weak reference to the image layer
        Which image a layer was made from, whatever either is called by now.
    ready : (model file, device) -> ReadyModel
    devices : list
        Devices found, empty before the first look.
    helpers : {name: object}
        The viewer's legend and status line.
    image_layer : Image layer or None
        The image that the docks work on.
    image_chosen : signal
        Tells it when it is another one.
    saved_model : Path or None
        The model file that was saved last in this window.
    model_saved : signal
        Tells it when there is another one.
    plan_changed : signal
        Tells the image layer whose plan was laid, changed or taken away.
    map_to_be_drawn : signal
        Tells the class-map layer that is about to be drawn over: strokes on it are taken up first.
    maps_changed : signal
        Tells the class-map layer whose maps came back from a file, found their image again, or
        were taught or corrected.
    """

    images: WeakKeyDictionary[Layer, SemImage] = field(default_factory=WeakKeyDictionary)
    plans: WeakKeyDictionary[Layer, GridPlan] = field(default_factory=WeakKeyDictionary)
    maps: WeakKeyDictionary[Layer, dict[tuple[int, ...], ClassMap]] = field(
        default_factory=WeakKeyDictionary
    )
    sources: WeakKeyDictionary[Layer, weakref.ref[Layer]] = field(default_factory=WeakKeyDictionary)
    ready: dict[tuple[str, str], ReadyModel] = field(default_factory=dict)
    devices: list[Any] = field(default_factory=list)
    helpers: dict[type, Any] = field(default_factory=dict)
    saved_model: Path | None = None
    _image: weakref.ref[Layer] | None = None
    model_saved: ClassVar[Signal] = Signal(object)
    image_chosen: ClassVar[Signal] = Signal(object)
    plan_changed: ClassVar[Signal] = Signal(object)
    map_to_be_drawn: ClassVar[Signal] = Signal(object)
    maps_changed: ClassVar[Signal] = Signal(object)

    @property
    def image_layer(self) -> Layer | None:
        """The image that the docks work on, None where none was chosen or it is gone."""
        return None if self._image is None else self._image()

    def choose_image(self, layer: Layer) -> None:
        """Let all docks work on an image."""
        if layer is not self.image_layer:
            self._image = weakref.ref(layer)
            self.image_chosen.emit(layer)

    def keep_model(self, path: Path) -> None:
        """Let the docks know of a model file that was just saved."""
        self.saved_model = path
        self.model_saved.emit(path)

    def source_of(self, layer: Layer) -> Layer | None:
        """The image layer from which `layer` was made, None when it is gone or unknown."""
        reference = self.sources.get(layer)
        return None if reference is None else reference()


_sessions: dict[int, Session] = {}


def unwrapped(value: T) -> T:
    """The object behind the proxy that napari hands to plugin widgets.

    Layers are keys of weak dictionaries and data of Qt models here: through a proxy, which is a
    new object each time, they would not be found again.
    """
    return getattr(value, "__wrapped__", value)


def session_of(viewer: ViewerModel) -> Session:
    """The session of a viewer, made on first use; it goes when the viewer goes."""
    viewer = unwrapped(viewer)
    key = id(viewer)
    if key not in _sessions:
        _sessions[key] = Session()
        weakref.finalize(viewer, _sessions.pop, key, None)
    return _sessions[key]


def helper_of(viewer: ViewerModel, kind: type[T], *made_from: Any) -> T:
    """What a viewer has one of, such as its legend: made on first use from `made_from`."""
    helpers = session_of(viewer).helpers
    if kind not in helpers:
        helpers[kind] = kind(*made_from)
    helper: T = helpers[kind]
    return helper


def map_layer_with(data: Any) -> tuple[Session, Layer] | None:
    """The layer of a class map or outlines, of any viewer, that holds this very array.

    With its session.
    """
    for session in _sessions.values():
        for layer in (*session.maps, *session.sources):
            if layer.data is data:
                return session, layer
    return None
