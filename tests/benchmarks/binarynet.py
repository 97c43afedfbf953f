"""BinaryNet for CIFAR-10 as a packed file against its float32 and int8 twins.

    python -m tests.benchmarks.binarynet [--without-amx] [--seconds 30]

XNNPACK multiplies int8 by AMX where a processor has it, by AVX-512 VNNI else.
`--without-amx` keeps AMX from this process, as a processor without it would.
Weights are random: neither size nor speed depends on them.
"""

import argparse
import ctypes

ARCH_PRCTL = 158
ARCH_REQ_XCOMP_PERM = 0x1023
EINVAL = 22


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    ]


class _Program(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_ushort),
        ("instructions", ctypes.POINTER(_Instruction)),
    ]


def deny_amx():
    """Let Linux refuse this process the registers of AMX; x86-64 only."""
    load, equals, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | EINVAL
    steps = [
        (load, 0, 0, 0),  # Number of the system call.
        (equals, 0, 3, ARCH_PRCTL),
        (load, 0, 0, 16),  # Its first argument.
        (equals, 0, 1, ARCH_REQ_XCOMP_PERM),
        (answer, 0, 0, refuse),
        (answer, 0, 0, allow),
    ]
    instructions = (_Instruction * len(steps))(*steps)
    program = _Program(len(steps), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(
        set_seccomp, by_filter, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-amx", action="store_true")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.without_amx:
        deny_amx()

    import keras

    import kerasbnn

    keras.utils.set_random_seed(0)
    report = kerasbnn.benchmark(
        kerasbnn.applications.binarynet_cifar10(),
        seconds=arguments.seconds,
        batch_size=arguments.batch_size,
        num_threads=arguments.threads,
        max_samples=20,
    )
    report.show()
    size = report["packed_delegate"].bytes
    print(f"File: {size:,} bytes (goal: at most 1,800,000)")
    for other, goal in (("int8", 4), ("float32", 15)):
        ratio = report.speed("packed_delegate", over=other)
        print(f"Packed with the delegate: {ratio:.2f} times {other} (goal: {goal})")


if __name__ == "__main__":
    main()
