"""What a plane of a stack is called in file names."""

from __future__ import annotations


def plane_suffix(plane: tuple[int, ...]) -> str:
    """What a plane of a stack adds to a file's name: "" for a single image."""
    return "".join(f"_z{index:04d}" for index in plane)
