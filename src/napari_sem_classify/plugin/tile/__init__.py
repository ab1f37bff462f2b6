"""The Tile image dock."""
