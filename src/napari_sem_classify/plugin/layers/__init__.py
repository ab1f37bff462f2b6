"""What lies in the viewer: images, grids, maps, annotations, legend, status line."""
