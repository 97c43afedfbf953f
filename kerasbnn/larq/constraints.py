"""The constraint that keeps latent weights within reach of their gradient."""

from kerasbnn.constraints import WeightClip

__all__ = ["WeightClip", "weight_clip"]

weight_clip = WeightClip
