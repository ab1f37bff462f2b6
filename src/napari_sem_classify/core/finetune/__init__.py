"""Training the network itself, with fastai."""
