"""The machine that a benchmark runs on."""

import platform
from pathlib import Path


def cpu_name():
    """Return the processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(
            [part.strip() for part in line.split(":", 1)]
            for line in cpuinfo.read_text().splitlines()
            if ":" in line
        )
        return (
            f"{fields.get('model name')} (family {fields.get('cpu family')}, "
            f"model {fields.get('model')})"
        )
    return platform.processor() or platform.machine()


def use_threads(count):
    """Let TensorFlow use so many threads; call it before anything else of it runs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
