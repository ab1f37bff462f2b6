"""Labelled images in, a fine-tuned network out, and what it is worth."""
