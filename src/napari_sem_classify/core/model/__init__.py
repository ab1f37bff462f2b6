"""Backbones, classifiers on top of them, and the model file."""

from .catalogue import ModelEntry, catalogue, user_models_folder
from .file import load_model, save_model

__all__ = ["ModelEntry", "catalogue", "load_model", "save_model", "user_models_folder"]
