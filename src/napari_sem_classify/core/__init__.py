"""What the program does, without a viewer: knows no napari and no Qt."""
