"""Backbones, classifiers on top of them, and the model file."""

from .file import load_model, save_model

__all__ = ["load_model", "save_model"]
