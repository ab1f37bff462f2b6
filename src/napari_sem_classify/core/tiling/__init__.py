"""Tiles of an image: read in batches, left out by rule, written as files."""
