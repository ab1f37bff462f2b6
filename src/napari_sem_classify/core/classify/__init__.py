"""The main job: image, model and options in, class map out."""
