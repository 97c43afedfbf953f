"""The machine that a benchmark runs on."""

from kerasbnn.benchmarking.machine import cpu_name

__all__ = ["cpu_name", "use_threads"]


def use_threads(count):
    """Let TensorFlow use so many threads; call it before anything else of it runs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
