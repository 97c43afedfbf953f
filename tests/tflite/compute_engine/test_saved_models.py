"""SavedModels for Larq Compute Engine, judged with TensorFlow alone."""

from collections import Counter

import keras
import numpy as np
import pytest
from keras import ops

import kerasbnn
from kerasbnn.tflite.compute_engine import comparison
from tests.helpers.compute_engine_cases import CASES, built
from tests.helpers.compute_engine_models import inputs_of, outputs_of_keras

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow writes SavedModels"
)


@pytest.fixture(scope="module", params=list(CASES))
def exported(request, tmp_path_factory):
    """Name, model, report and folder of a case."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    model = built(request.param)
    report = kerasbnn.convert(model, folder, format="larq")
    return request.param, model, report, folder


def signature_of(folder):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    return loaded, loaded.signatures["serving_default"]


def nodes_of(folder):
    """Return all operations of a SavedModel, those in functions too."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    functions = graph.graph_def.library.function
    nodes = [list(function.node_def) for function in functions]
    # Signatures call the function that holds the model.
    return max([*nodes, list(graph.graph_def.node)], key=len)


def test_it_computes_what_keras_does(exported):
    name, model, report, folder = exported
    inputs = inputs_of(model)
    loaded, serve = signature_of(folder)
    # TensorFlow's optimizer takes a constant for each column for a bias, and fails.
    with comparison._operation_by_operation():
        found = serve(**{key: ops.convert_to_tensor(x) for key, x in inputs.items()})
    expected = outputs_of_keras(model, inputs)
    assert found.keys() == expected.keys()
    rounding = {"rtol": 1e-5, "atol": 1e-5} if CASES[name].is_exact else {"rtol": 1e-3}
    for key, values in expected.items():
        scale = max(1.0, np.abs(values).max())
        np.testing.assert_allclose(found[key] / scale, values / scale, **rounding)
    assert report.verification.near_ties == 0
    del loaded


def test_the_report_counts_the_binary_convolutions(exported):
    name, _, report, folder = exported
    convolutions = [
        node for node in nodes_of(folder) if "binary_convolution" in node.name
    ]
    assert {node.op for node in convolutions} <= {"Conv2D"}
    assert len(convolutions) == CASES[name].convolutions
    assert report.has_packed == bool(convolutions)


def test_only_what_is_meant_has_the_form_of_a_sign(exported):
    _, _, _, folder = exported
    nodes = {node.name: node for node in nodes_of(folder)}
    assert not [node.name for node in nodes.values() if node.op == "Sign"]
    for node in nodes.values():
        if node.op in ("Select", "SelectV2"):
            values = [constant(nodes, name) for name in node.input[1:]]
            if sorted(map(str, values)) == ["-1.0", "1.0"]:
                readers = [n for n in nodes.values() if reads(n, node.name)]
                # Padding with 1, or the convolution itself.
                assert {reader.op for reader in readers} <= {"Conv2D", "PadV2"}


def reads(node, name):
    return any(x.partition(":")[0] == name for x in node.input)


def constant(nodes, name):
    import tensorflow as tf

    node = nodes.get(name.partition(":")[0])
    if node is None or node.op != "Const":
        return None
    values = tf.make_ndarray(node.attr["value"].tensor)
    is_number = values.size == 1 and values.dtype == np.float32
    return float(values.flat[0]) if is_number else None


def test_no_variable_is_left(exported):
    _, _, _, folder = exported
    kinds = Counter(node.op for node in nodes_of(folder))
    assert not [kind for kind in kinds if "Variable" in kind or "VarHandle" in kind]
