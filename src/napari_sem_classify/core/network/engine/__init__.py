"""Tiles in, features or probabilities out; one module a backend."""

from napari_sem_classify.core.network.engine.base import Engine
from napari_sem_classify.core.network.engine.devices import DeviceChoice, available_devices
from napari_sem_classify.core.network.engine.factory import make_engine

__all__ = ["DeviceChoice", "Engine", "available_devices", "make_engine"]
