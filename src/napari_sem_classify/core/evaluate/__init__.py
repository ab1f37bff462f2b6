"""How good a model is: labelled sets, their splits, scores with intervals."""
