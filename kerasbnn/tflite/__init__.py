"""Converts Keras models to .tflite files with packed binary weights."""
