"""The models of a service: where they lie, and what runs them."""
