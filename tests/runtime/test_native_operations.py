"""The native kernels against numpy, each implementation by itself."""

import dataclasses
import itertools
import os

import numpy as np
import pytest

from kerasbnn.runtime.bitpacking import pack_bits, unpack_bits
from kerasbnn.runtime.composites import (
    BITS,
    CONV_2D,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    NAMES,
    SIGN_OF_FLOAT,
    Composite,
)
from tests.helpers.composite_cases import random_case, random_composite
from tests.helpers.composite_chains import expected_of
from tests.helpers.delegates import has_delegate, needs_delegate
from tests.helpers.native_operations import (
    NativeError,
    NativeOperation,
    implementations,
)
from tests.helpers.processes import ROOT, run_python

pytestmark = needs_delegate
IMPLEMENTATIONS = implementations() if has_delegate() else ["none"]
by_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def arrays_of(case):
    arrays = [case.x, case.filters, case.scale, case.bias]
    return arrays if case.residual is None else [*arrays, case.residual]


def check(case, implementation):
    found = NativeOperation(case.composite, implementation)(*arrays_of(case))
    expected = expected_of(case)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, err_msg=str(case.composite))


@by_implementation
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(60))
def test_random_composites(seed, name, implementation):
    rng = np.random.default_rng(seed)
    batch = int(rng.choice([1, 1, 2, 3, 19]))
    check(random_case(rng, random_composite(rng, name), batch), implementation)


@by_implementation
@pytest.mark.parametrize("given", [BITS, SIGN_OF_FLOAT, FLOAT])
@pytest.mark.parametrize("bits", [1, 2])
def test_any_number_of_pixels_and_channels(bits, given, implementation, rng):
    # Tiles and blocks that are not full, on either side of every limit.
    for width, outputs in itertools.product(range(1, 17), (1, 15, 16, 17, 31, 32, 33)):
        composite = Composite(
            CONV_2D, 33, outputs, weight_bits=bits, input=given, output=width % 2 * 2
        )
        check(random_case(rng, composite, 1, (1, width)), implementation)


@by_implementation
@pytest.mark.parametrize("fan_in", [1, 31, 32, 33, 992, 993, 1024, 70_001])
def test_counts_do_not_overflow(fan_in, implementation, rng):
    case = random_case(rng, Composite(DENSE, fan_in, 3), batch=3)
    case.weights[0], case.weights[1] = 1, -1
    case.x[0] = 0
    case.scale[:], case.bias[:] = 1, 0
    found = NativeOperation(case.composite, implementation)(*arrays_of(case))
    assert found[0, :2].tolist() == [fan_in, -fan_in]
    check(case, implementation)


@by_implementation
@pytest.mark.parametrize("fan_in", [1, 9, 64])
def test_thresholds_at_every_dot_product(fan_in, implementation):
    # Every number of products of -1, against biases at, just below and just above.
    rows = np.where(np.arange(fan_in) < np.arange(fan_in + 1)[:, np.newaxis], -1, 1)
    dots = np.arange(-fan_in, fan_in + 1)
    scales = np.float32([1, -1, 0.1, -0.1, 3, 1e-30, -1e-30, 0, -0.0])
    pairs = [
        (scale, bias)
        for scale, dot in itertools.product(scales, dots)
        for tie in [-np.float32(scale * np.float32(dot))]
        for bias in (tie, np.nextafter(tie, np.float32(1)), tie - np.float32(0.5))
    ]
    scale, bias = np.float32(pairs).T
    case = dataclasses.replace(
        random_case(
            np.random.default_rng(0), Composite(DENSE, fan_in, len(pairs), output=BITS)
        ),
        x=pack_bits(rows),
        weights=np.ones((len(pairs), fan_in), np.int8),
        scale=np.ascontiguousarray(scale),
        bias=np.ascontiguousarray(bias),
    )
    check(case, implementation)


@by_implementation
def test_infinite_and_undefined_terms_give_a_bit_each(implementation):
    terms = [np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0]
    scale, bias = np.float32(list(itertools.product(terms, terms))).T
    composite = Composite(DENSE, 8, len(scale), output=BITS)
    case = random_case(np.random.default_rng(0), composite, batch=9)
    case = dataclasses.replace(case, scale=scale.copy(), bias=bias.copy())
    with np.errstate(invalid="ignore"):
        check(case, implementation)


@by_implementation
@pytest.mark.parametrize("pool_first", [0, 1])
@pytest.mark.parametrize("output", [BITS, FLOAT])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
def test_pooling_takes_the_right_end_of_falling_scales(
    size, stride, output, pool_first, implementation, rng
):
    for same, padded in itertools.product((0, 1), (0, 1)):
        composite = Composite(
            CONV_2D,
            20,
            37,
            kernel_h=3,
            kernel_w=3,
            same=padded,
            output=output,
            pool_h=size,
            pool_w=size,
            pool_stride_h=stride,
            pool_stride_w=stride,
            pool_same=same,
            pool_first=pool_first,
        )
        case = random_case(rng, composite, batch=2, size=(11, 13))
        case.scale[:] = rng.choice([-0.5, 0.25, 0], len(case.scale))
        check(case, implementation)


@by_implementation
@pytest.mark.parametrize("output", [BITS, FLOAT])
def test_large_images_are_pooled_in_parts(output, implementation, rng):
    pool = {"pool_h": 3, "pool_w": 2, "pool_stride_h": 2, "pool_stride_w": 2}
    composite = Composite(CONV_2D, 8, 64, output=output, pool_same=1, **pool)
    # Several times the bytes that are computed at once.
    check(random_case(rng, composite, batch=2, size=(161, 97)), implementation)


@by_implementation
def test_undefined_inputs_are_positive(implementation, rng):
    composite = Composite(DENSE, 40, 5, input=SIGN_OF_FLOAT)
    case = random_case(rng, composite, batch=4)
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, -1e-40, 1e-40], np.float32)
    case.x[:, : len(odd)] = odd
    check(case, implementation)


@by_implementation
@pytest.mark.parametrize("name", NAMES)
def test_other_sizes_after_the_first(name, implementation, rng):
    given = {"same": 1, "pad_value": 0} if name != DENSE else {}
    composite = random_composite(rng, name, **given)
    first = random_case(rng, composite, batch=3)
    operation = NativeOperation(composite, implementation)
    for batch, size in ((3, (12, 13)), (1, (11, 17)), (7, (20, 10)), (3, (12, 13))):
        case = random_case(rng, composite, batch, size)
        # Weights, scale and bias are read once.
        case = dataclasses.replace(
            case, weights=first.weights, scale=first.scale, bias=first.bias
        )
        found = operation(*arrays_of(case))
        np.testing.assert_array_equal(found, expected_of(case))
        # Nothing of a run is left to the next.
        np.testing.assert_array_equal(operation.run(), expected_of(case))


@by_implementation
def test_no_images(implementation, rng):
    case = random_case(rng, Composite(CONV_2D, 5, 7), batch=0)
    found = NativeOperation(case.composite, implementation)(*arrays_of(case))
    assert found.shape[0] == 0


@by_implementation
@pytest.mark.parametrize("name", [CONV_2D, DEPTHWISE_CONV_2D])
def test_inputs_that_begin_anywhere(name, implementation, rng):
    case = random_case(rng, Composite(name, 40, 40), batch=2)
    room = np.zeros(case.x.nbytes + 64, np.uint8)
    for shift in (1, 2, 3, 5):
        start = shift + -room.ctypes.data % 8
        x = room[start : start + case.x.nbytes].reshape(case.x.shape)
        x[:] = case.x
        operation = NativeOperation(case.composite, implementation)
        operation.prepare([x, *arrays_of(case)[1:]])
        np.testing.assert_array_equal(operation.run(), expected_of(case))


@by_implementation
@pytest.mark.parametrize("bits", [1, 2])
def test_tail_bits_of_a_file_do_not_count(bits, implementation, rng):
    composite = Composite(
        CONV_2D, 5, 3, kernel_h=2, kernel_w=2, same=1, weight_bits=bits
    )
    case = random_case(rng, composite)
    filters = case.filters.copy()
    filters.reshape(-1, 4 * bits)[:, bits * 5 // 8 + 1 :] = 255
    x, _, scale, bias = arrays_of(case)
    found = NativeOperation(composite, implementation)(x, filters, scale, bias)
    np.testing.assert_array_equal(found, expected_of(case))


@by_implementation
def test_shared_scales(implementation, rng):
    case = random_case(rng, Composite(DENSE, 70, 35), batch=3)
    case.scale[:], case.bias[:] = 0.25, -1.5
    x, filters, scale, bias = arrays_of(case)
    operation = NativeOperation(case.composite, implementation)
    found = operation(x, filters, scale[:1], bias[:1])
    np.testing.assert_array_equal(found, expected_of(case))


@by_implementation
@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("batch", [1, 40])
def test_threads_share_the_work(batch, threads, implementation, rng):
    # Of few pixels by channels, of many by pixels; the last is too small to share.
    pool = {"pool_h": 2, "pool_w": 2, "pool_stride_h": 2, "pool_stride_w": 2}
    for composite in (
        Composite(DENSE, 5000, 1000, output=BITS),
        Composite(CONV_2D, 300, 65, kernel_h=3, kernel_w=3, same=1, **pool),
        Composite(CONV_2D, 300, 65, kernel_h=3, kernel_w=3, same=1, output=BITS),
        Composite(DENSE, 64, 10),
    ):
        case = random_case(rng, composite, batch, (9, 9))
        operation = NativeOperation(composite, implementation)
        operation.set_threads(threads)
        for _ in range(3):
            found = operation(*arrays_of(case))
            np.testing.assert_array_equal(found, expected_of(case))


def test_outputs_of_bits_have_an_empty_tail(rng):
    case = random_case(rng, Composite(DENSE, 64, 35, output=BITS), batch=50)
    case.bias[:] = -100
    for implementation in IMPLEMENTATIONS:
        bits = NativeOperation(case.composite, implementation)(*arrays_of(case))
        assert (unpack_bits(bits, 64)[:, 35:] == 1).all()


GOOD = Composite(CONV_2D, 5, 7, kernel_h=3, kernel_w=3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2}, "is not of version 1"),
        ({"stride_h": 0}, r"stride_h = 0, which must be from 1 to"),
        ({"kernel_h": 2**40}, r"kernel_h = 1099511627776"),
        ({"groups": 2}, "groups do not divide"),
        ({"pool_h": 2}, "pools along one axis only"),
        ({"pool_h": 2, "pool_w": 2, "residual": 1}, "both pooling and a residual"),
        ({"output": 1}, "output = 1, which must be 0 or 2"),
        ({"kernel_h": None}, "lacks attribute kernel_h"),
        ({"later": 1}, "23 attributes instead of 22"),
        ({"in_channels": 1 << 24, "kernel_h": 64}, "more than 2"),
    ],
)
def test_impossible_composites_are_refused(changes, match):
    attributes = GOOD.attributes() | changes
    attributes = {key: value for key, value in attributes.items() if value is not None}
    with pytest.raises(NativeError, match=match):
        NativeOperation(attributes, "generic", name=CONV_2D)


def test_unknown_names_are_refused():
    with pytest.raises(NativeError, match="no composite kerasbnn.other"):
        NativeOperation(GOOD.attributes(), "generic", name="kerasbnn.other")
    with pytest.raises(NativeError, match="no such implementation"):
        NativeOperation(GOOD, "sse9")


@pytest.mark.parametrize(
    ("number", "change", "match"),
    [
        (0, lambda x: x.astype(np.float32), r"inputs of float32.*instead.*uint8"),
        (0, lambda x: x[0], "instead of 4 axes"),
        (0, lambda x: x[..., :3], "the last of size 4"),
        (0, lambda x: x[:, :2], "larger than its image of 2 x"),
        (1, lambda x: x[:6], r"filters of uint8 \[6, 3, 3, 4\] instead of"),
        (2, lambda x: x[:6], r"scale of float32 \[6\] instead of float32 \[7\]"),
        (3, lambda x: x.view(np.uint8), "bias of uint8"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(number, change, match, rng):
    arrays = arrays_of(random_case(rng, GOOD))
    arrays[number] = change(arrays[number])
    operation = NativeOperation(GOOD, "generic")
    with pytest.raises(NativeError, match=match):
        operation(*arrays)


def test_a_wrong_number_of_tensors_is_refused(rng):
    arrays = arrays_of(random_case(rng, GOOD))
    for given in (arrays[:3], [*arrays, arrays[3]]):
        with pytest.raises(NativeError, match="inputs instead of 4"):
            NativeOperation(GOOD, "generic")(*given)


def test_a_residual_of_another_shape_is_refused(rng):
    composite = dataclasses.replace(GOOD, residual=1)
    arrays = arrays_of(random_case(rng, composite))
    arrays[4] = arrays[4][:, 1:]
    with pytest.raises(NativeError, match="residual of"):
        NativeOperation(composite, "generic")(*arrays)


@by_implementation
def test_windows_that_meet_the_border_in_many_ways(implementation, rng):
    # Every position is a class of its own.
    given = {"kernel_h": 40, "kernel_w": 37, "same": 1, "dilation_w": 2}
    for name in (CONV_2D, DEPTHWISE_CONV_2D):
        composite = Composite(name, 3, 3, **given, output=BITS)
        check(random_case(rng, composite, size=(20, 33)), implementation)


def test_too_many_ways_to_meet_the_border_are_refused(rng):
    given = {"kernel_h": 600, "kernel_w": 600, "same": 1}
    composite = Composite(DEPTHWISE_CONV_2D, 64, 64, **given)
    arrays = arrays_of(random_case(rng, composite, 0, (600, 600)))
    with pytest.raises(NativeError, match="360000 ways, which is too many"):
        NativeOperation(composite, "generic")(*arrays)


FORK_CODE = """
import os, signal, time
import numpy as np
from kerasbnn.runtime.composites import DENSE, Composite
from tests.helpers.composite_cases import random_case
from tests.helpers.composite_chains import expected_of
from tests.helpers.native_operations import NativeOperation

case = random_case(np.random.default_rng(0), Composite(DENSE, 5000, 1000), batch=8)
arrays = [case.x, case.filters, case.scale, case.bias]
operation = NativeOperation(case.composite, "generic")
operation.set_threads(3)
operation(*arrays)
child = os.fork()
if child == 0:
    # The threads are not there, so the child does all the work; and ends.
    found = operation(*arrays)
    operation.close()
    os._exit(not np.array_equal(found, expected_of(case)))
for _ in range(300):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    time.sleep(0.1)
else:
    os.kill(child, signal.SIGKILL)
    raise SystemExit("the child hangs")
assert status == 0
assert np.array_equal(operation.run(), expected_of(case))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_after_a_fork():
    # In a process that has no threads of a backend's own.
    run_python("-W", "ignore", "-c", FORK_CODE, folder=ROOT)


def test_padding_beyond_measure_is_refused(rng):
    composite = Composite(CONV_2D, 5, 7, kernel_h=3, dilation_h=1 << 24, same=1)
    arrays = arrays_of(random_case(rng, composite, size=(300, 300)))
    with pytest.raises(NativeError, match="take more than"):
        NativeOperation(composite, "generic")(*arrays)
