"""Durations as people say them."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """A duration as one would say it: "0.4 s", "16 s", "3 min 20 s", "1 h 5 min"."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
