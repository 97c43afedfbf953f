"""The pages for people: models, traffic, geometry, and a form to try a model."""
