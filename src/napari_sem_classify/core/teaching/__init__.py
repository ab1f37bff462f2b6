"""Annotated tiles in, a head out, with an honest score and tiles to look at next."""
