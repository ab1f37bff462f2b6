"""An SEM image as pixels read by region, with its scale, specimen area and grey range."""
