"""What is public, and with which arguments; and what importing it does."""

import importlib
import inspect
import json

import keras
import numpy as np
import pytest

import kerasbnn
import kerasbnn.larq as lq
from tests.helpers.processes import run_python
from tests.larq import real

SIGNATURES = real.content("signatures")
# Keras 3 has no more use for these arguments of Keras 2.
FEWER = {
    "quantizers.serialize": {"use_legacy_format"},
    "quantizers.deserialize": {"use_legacy_format"},
}
# Here all of a base class's arguments are keywords.
FREE = {"quantizers.Quantizer"}


@pytest.mark.parametrize("path", SIGNATURES)
def test_every_public_name_takes_larqs_arguments(path):
    module, name = path.split(".")
    value = getattr(getattr(lq, module), name)
    assert value.__doc__
    call = value.__init__ if inspect.isclass(value) else value
    ours = {
        parameter.name: parameter
        for parameter in inspect.signature(call).parameters.values()
        if parameter.name != "self"
    }
    if path in FREE:
        return
    position = 0
    for argument, kind, *default in SIGNATURES[path]:
        if argument in FEWER.get(path, ()):
            continue
        if kind in ("VAR_POSITIONAL", "VAR_KEYWORD"):
            if argument in ("args", "kwargs"):
                continue
        assert argument in ours, argument
        parameter = ours[argument]
        if kind == "POSITIONAL_OR_KEYWORD":
            assert list(ours)[position] == argument
            position += 1
        assert parameter.kind.name == kind, argument
        if default:
            theirs, own = default[0], parameter.default
            assert repr(own) == theirs or float(own) == float(theirs), argument
        elif kind == "POSITIONAL_OR_KEYWORD":
            assert parameter.default is parameter.empty, argument


def test_every_public_name_is_there():
    modules = {path.split(".")[0] for path in SIGNATURES}
    assert modules <= set(lq.__all__)
    for name in lq.__all__:
        assert getattr(lq, name).__doc__
    assert lq.__version__ == real.content("configs")["version"]
    for name in ("serialize", "deserialize", "get", "get_kernel_quantizer"):
        assert callable(getattr(lq.quantizers, name))
    # Those that Larq does not list, but has.
    for name in ("ste_sign", "approx_sign", "swish_sign", "ste_tern", "ste_heaviside"):
        assert callable(getattr(lq.quantizers, name))


def test_importing_kerasbnn_does_not_import_it(tmp_path):
    code = """
import json, sys
import keras, kerasbnn
before = "kerasbnn.larq" in sys.modules
kerasbnn.larq.layers.QuantDense(2)
print(json.dumps([before, "kerasbnn.larq" in sys.modules]))
"""
    printed = run_python("-c", code, folder=tmp_path)
    assert json.loads(printed.splitlines()[-1]) == [False, True]


def test_the_custom_objects_are_known_to_keras():
    objects = lq.custom_objects()
    assert objects["weight_clip"] is lq.constraints.WeightClip
    known = keras.saving.get_custom_objects()
    for name, value in objects.items():
        assert known[name] is value
    # Ours of the same name stay what they are.
    layer = kerasbnn.QuantDense(2, kernel_quantizer="ste_tern")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(again) is kerasbnn.QuantDense
    assert type(again.kernel_quantizer) is kerasbnn.quantizers.SteTern


def test_configs_of_larqs_files_are_read():
    for path, config in real.content("configs").items():
        kind, _, name = path.partition("/")
        if kind == "quantizer" and name:
            cls = importlib.import_module("tests.larq.cases").QUANTIZERS[name][0]
            written = {"class_name": cls, "config": config}
            quantizer = lq.quantizers.get(written)
            ours = quantizer.get_config()
            assert {k: ours[k] for k in config if k != "dtype"} == {
                k: v for k, v in config.items() if k != "dtype"
            }
    clip = lq.constraints.WeightClip(0.5)
    assert clip.get_config() == real.content("configs")["constraint"]
    metric = lq.metrics.FlipRatio().get_config()
    assert metric == real.content("configs")["metric"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.00 B"),
        (1023, "1,023.00 B"),
        (1024, "1.00 KiB"),
        (3 * 1024**2, "3.00 MiB"),
        (5 * 1024**4, "5,120.00 GiB"),
    ],
)
def test_sizes_as_text(size, text):
    assert lq.utils.memory_as_readable_str(8 * size) == text


def test_a_patched_attribute_comes_back():
    layer = keras.layers.Dense(1)

    def fail_inside():
        with lq.utils.patch_object(layer, "units", 7):
            assert layer.units == 7
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    assert layer.units == 1


def test_the_sign_of_larqs_math_is_never_zero():
    x = np.array([-0.0, 0.0, -1e-30], "float32")
    assert keras.ops.convert_to_numpy(lq.math.sign(x))[:2].tolist() == [1, 1]
