"""Predictions for people: an image in, labels and scores out."""
