"""Sections of the dock widgets: each holds its controls and says when they changed."""
