"""The entries of the menu."""
