"""Backbones, classifiers on top of them, and the model file."""
