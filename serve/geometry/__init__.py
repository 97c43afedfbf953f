"""The geometry of live requests: sampled beside them, compared with the reference."""

from .monitor import GeometryMonitor

__all__ = ["GeometryMonitor"]
