"""Keeps processors from sleeping while something is measured."""

import contextlib
import os
import signal


@contextlib.contextmanager
def awake_processors():
    """Run a loop on each processor that gives way to everything else.

    With few connections client and server wait for each other in turn, and a processor
    that has nothing to do goes to sleep. To wake it takes a virtual machine about as
    long as a small request takes, and the same for every server, which hides the
    difference between them. Linux only; elsewhere it does nothing.
    """
    processes = []
    if hasattr(os, "SCHED_IDLE"):
        parent = os.getpid()
        for processor in sorted(os.sched_getaffinity(0)):
            process = os.fork()
            if not process:
                _spin(processor, parent)
            processes.append(process)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _spin(processor, parent):
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while os.getppid() == parent:
        for _ in range(1_000_000):
            pass
    os._exit(0)
