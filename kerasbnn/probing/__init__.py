"""Reads what a probe file measures; needs numpy and ai-edge-litert only.

`kerasbnn.tflite.probe` writes the file. `Probe` runs it on batches of inputs, and
`ProbeStatistics` adds up what it yields to a `GeometryReport`. `Reference` is what the
inputs looked like that the model was trained on, `Observation` what others look like,
and `Drift` is how the two differ, in numbers and in words.
"""

from kerasbnn.probing.activations import Activations
from kerasbnn.probing.covariance import InputCovariance
from kerasbnn.probing.description import ProbeDescription
from kerasbnn.probing.drift import Drift
from kerasbnn.probing.observation import Observation
from kerasbnn.probing.reading import Probe
from kerasbnn.probing.reference import Reference
from kerasbnn.probing.statistics import ProbeStatistics

__all__ = [
    "Activations",
    "Drift",
    "InputCovariance",
    "Observation",
    "Probe",
    "ProbeDescription",
    "ProbeStatistics",
    "Reference",
]
