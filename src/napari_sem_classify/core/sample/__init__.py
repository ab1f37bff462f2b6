"""The generated sample and the demo that stands on it."""
