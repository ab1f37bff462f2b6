"""Tiles over an image: where they lie, reading them, leaving some out, writing them."""
