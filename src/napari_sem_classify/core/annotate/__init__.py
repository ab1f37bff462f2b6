"""What a person says about places of images, and its file."""
