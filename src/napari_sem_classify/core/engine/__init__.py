"""Tiles in, features or probabilities out; one module a backend."""
