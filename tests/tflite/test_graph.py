"""Reading, changing and writing files without TensorFlow."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import BuiltinOperator, Model, ModelT

from kerasbnn.runtime.composites import BITS, CONV_2D, DENSE, Composite
from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.composite_operators import make_composite, output_tensor
from kerasbnn.tflite.graph import Graph
from tests.helpers.composite_chains import inputs_of_chain, random_chain
from tests.helpers.tflite_models import model_of, run


def test_the_same_graph_gives_the_same_bytes():
    first, second = (model_of(random_chain(np.random.default_rng(3))) for _ in range(2))
    assert first == second
    graph = Graph(first)
    assert graph.to_bytes() == first
    assert graph.to_bytes() == first


def test_vectors_and_buffers_are_there_once_and_aligned(rng):
    content = model_of(random_chain(rng))
    model = Model.GetRootAs(content)
    origin = np.frombuffer(content, np.uint8).ctypes.data
    buffers = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength())]
    filled = [b for b in buffers if isinstance(b, np.ndarray)]
    assert len(filled) > 5
    assert all((b.ctypes.data - origin) % 16 == 0 for b in filled)
    assert len({b.tobytes() for b in filled}) == len(filled)
    shapes = {}
    for i in range(model.SubgraphsLength()):
        subgraph = model.Subgraphs(i)
        for j in range(subgraph.TensorsLength()):
            shape = subgraph.Tensors(j).ShapeAsNumpy()
            if isinstance(shape, np.ndarray):
                shapes.setdefault(tuple(shape), set()).add(shape.ctypes.data)
    assert all(len(places) == 1 for places in shapes.values())


def test_metadata_is_set_and_replaced():
    graph = Graph(model_of(random_chain(np.random.default_rng(0))))
    graph.set_metadata("kerasbnn", b"old")
    graph.set_metadata("other", b"kept")
    graph.set_metadata("kerasbnn", b"new")
    model = ModelT.InitFromPackedBuf(graph.to_bytes(), 0)
    found = {m.name: bytes(model.buffers[m.buffer].data) for m in model.metadata}
    assert found == {b"kerasbnn": b"new", b"other": b"kept"}


def small_graph():
    graph = Graph()
    main = graph.add_subgraph("main")
    write = Operations(main)
    x = main.add_tensor((-1, 3), np.float32, "x")
    doubled = write.multiply(x, write.constant([2.0]))
    unused = write.add(doubled, write.constant([5.0]))
    y = write.add(doubled, x)
    main.set_name(y, "y")
    main.raw.inputs, main.raw.outputs = [x], [y]
    return graph, main, (x, doubled, unused, y)


def test_walking():
    _, main, (x, doubled, unused, y) = small_graph()
    multiply, add_unused, add = main.operators
    assert main.producer(x) is None
    assert main.producer(y) is add
    assert main.consumers(x) == [multiply, add]
    assert main.consumers(doubled) == [add_unused, add]
    assert main.consumers(unused) == []
    assert main.constant(multiply.inputs[1]).tolist() == [2.0]
    assert main.constant(x) is None
    assert main.shape(x) == (-1, 3)
    assert main.dtype(x) == np.float32


def test_what_is_not_used_is_dropped():
    graph, main, _ = small_graph()
    content = graph.to_bytes()
    model = ModelT.InitFromPackedBuf(content, 0)
    codes = [code.builtinCode for code in model.operatorCodes]
    assert codes == [BuiltinOperator.MUL, BuiltinOperator.ADD]
    assert len(model.subgraphs[0].operators) == 2
    assert len(model.subgraphs[0].tensors) == 4
    # The one that stands for no contents, and the 2.
    assert len(model.buffers) == 2
    x = np.float32([[1, -2, 3], [0, 5, 7]])
    np.testing.assert_array_equal(run(content, {"x": x})["y"], 3 * x)


def test_a_file_of_tensorflow_computes_the_same_when_written_anew(rng):
    import tensorflow as tf

    kernel = tf.constant(rng.normal(size=(3, 3, 2, 4)).astype(np.float32))
    matrix = tf.constant(rng.normal(size=(4, 6)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 9, 2), name="x")])
    def compute(x):
        y = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
        y = tf.pad(tf.nn.avg_pool2d(y, 2, 1, "VALID"), [(0, 0), (1, 0), (0, 2), (0, 0)])
        y = tf.transpose(y, (0, 2, 1, 3))[:, ::2, 1:]
        y = tf.linalg.matmul(tf.reduce_mean(y, (1, 2)), matrix)
        pairs = tf.split(tf.concat([y, tf.nn.softmax(y)], -1), 2, axis=-1)
        chosen = tf.where(pairs[0] > 0.1, pairs[0], pairs[1] ** 2)
        # A loop brings subgraphs of its own.
        count = tf.constant(0)
        _, looped = tf.while_loop(
            lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(v) + 0.5), (count, chosen)
        )
        return {"chosen": chosen, "looped": looped, "best": tf.argmax(y, -1)}

    module = tf.Module()
    module.compute = compute
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [compute.get_concrete_function()], module
    )
    content = converter.convert()
    graph = Graph(content)
    assert len(graph.subgraphs) > 1
    written = graph.to_bytes()
    assert Graph(written).to_bytes() == written
    first, second = (
        Interpreter(model_content=file).get_signature_runner()
        for file in (content, written)
    )
    for batch in (1, 4):
        x = rng.normal(size=(batch, 8, 9, 2)).astype(np.float32)
        expected, outputs = first(x=x), second(x=x)
        assert list(outputs) == ["best", "chosen", "looped"]
        for name, values in expected.items():
            np.testing.assert_array_equal(outputs[name], values)


def test_binarynet_for_cifar10_takes_1_8_megabytes(rng):
    graph = Graph()
    main = graph.add_subgraph("main")
    x = main.add_tensor((-1, 32, 32, 3), np.float32, "x")
    main.raw.inputs = [x]
    widths = [3, 128, 128, 256, 256, 512, 512]
    pooling = {"pool_h": 2, "pool_w": 2, "pool_stride_h": 2, "pool_stride_w": 2}
    composites = [
        Composite(
            CONV_2D,
            *widths[i : i + 2],
            kernel_h=3,
            kernel_w=3,
            same=1,
            input=2 if i == 0 else BITS,
            output=BITS,
            **(pooling | {"pool_first": 1} if i % 2 else {}),
        )
        for i in range(6)
    ]
    composites += [
        Composite(DENSE, 8192, 1024, output=BITS),
        Composite(DENSE, 1024, 1024, output=BITS),
        Composite(DENSE, 1024, 10),
    ]
    weights = 0
    for composite in composites:
        if composite.in_channels == 8192:
            x = Operations(main).reshape(x, (-1, 1024), np.uint8)
        outputs = composite.out_channels
        weights += composite.fan_in * outputs
        filters = rng.integers(0, 256, composite.filters_shape, np.uint8)
        # Thresholds between binary layers; normalization around them.
        scale = np.ones(outputs, np.float32)
        if composite.output != BITS or composite.in_channels == 3:
            scale = rng.normal(size=outputs).astype(np.float32)
        bias = rng.normal(size=outputs).astype(np.float32)
        y = output_tensor(main, composite, x)
        main.operators.append(
            make_composite(main, composite, x, filters, scale, bias, y)
        )
        x = y
    main.raw.outputs = [x]
    assert weights == 14_022_016
    assert len(graph.to_bytes()) <= 1_798_000


def test_a_chain_runs_after_reading_and_writing(rng):
    cases = random_chain(rng)
    content = model_of(cases)
    expected = run(content, inputs_of_chain(cases))
    for name, values in run(Graph(content).to_bytes(), inputs_of_chain(cases)).items():
        np.testing.assert_array_equal(values, expected[name])
