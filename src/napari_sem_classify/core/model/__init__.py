"""Backbones, classifiers on top of them, and the model file."""

from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.model.file import save_model

__all__ = ["load_model", "save_model"]
