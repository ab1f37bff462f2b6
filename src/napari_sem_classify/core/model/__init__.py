"""Backbones, classifiers on top of them, and the model file."""

from napari_sem_classify.core.model.file import load_model, save_model

__all__ = ["load_model", "save_model"]
