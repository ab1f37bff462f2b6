"""Many images, one model."""
