"""Networks that Larq and kerasbnn build from the same code.

Each function takes Keras (tf_keras or Keras 3) and the module of quantized layers
(`larq.layers`, `kerasbnn.larq.layers` or `kerasbnn.layers`) and returns a model.
"""

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}
KERNEL_ONLY = {**BINARY, "input_quantizer": None}


def dense(keras, quant):
    """Dense layers; batch normalizations with all, and with half of their weights."""
    return keras.Sequential(
        [
            keras.Input((12,)),
            quant.QuantDense(9, **KERNEL_ONLY),
            keras.layers.BatchNormalization(scale=False),
            quant.QuantDense(9, **{**BINARY, "use_bias": True}),
            keras.layers.BatchNormalization(center=False),
            quant.QuantDense(9, **BINARY),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )


def convolutional(keras, quant):
    """Padding of every kind, one dimension after two, an explicit name."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            quant.QuantConv2D(4, 3, padding="same", name="stem", **KERNEL_ONLY),
            keras.layers.BatchNormalization(),
            quant.QuantConv2D(
                4, 3, padding="same", pad_values=1.0, strides=2, **BINARY
            ),
            keras.layers.BatchNormalization(scale=False, center=False),
            quant.QuantConv2D(4, 3, padding="same", pad_values=-1.0, **BINARY),
            keras.layers.MaxPooling2D(2),
            keras.layers.PReLU(shared_axes=[1, 2]),
            keras.layers.Reshape((4, 4)),
            quant.QuantConv1D(3, 2, padding="causal", **KERNEL_ONLY),
            keras.layers.Flatten(),
            quant.QuantDense(
                3,
                kernel_quantizer="magnitude_aware_sign",
                kernel_constraint="weight_clip",
            ),
        ]
    )


def separable(keras, quant):
    """Separable and depthwise convolutions, with more than one kernel per layer."""
    kernels = {
        "input_quantizer": "ste_sign",
        "depthwise_quantizer": "ste_sign",
        "depthwise_constraint": "weight_clip",
    }
    two = {
        **kernels,
        "pointwise_quantizer": "ste_sign",
        "pointwise_constraint": "weight_clip",
    }
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            quant.QuantSeparableConv2D(4, 3, depth_multiplier=2, **two),
            quant.QuantDepthwiseConv2D(
                3, padding="same", depth_multiplier=2, pad_values=1.0, **kernels
            ),
            keras.layers.Reshape((16, 8)),
            quant.QuantSeparableConv1D(4, 3, depth_multiplier=1, use_bias=False, **two),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3, use_bias=False),
        ]
    )


def transposed(keras, quant):
    """Transposed convolutions in two and three dimensions, and a 3D one."""
    transposing = {**BINARY, "use_bias": True}
    return keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            quant.QuantConv2DTranspose(
                3, 3, strides=2, padding="same", **{**transposing}
            ),
            keras.layers.Reshape((4, 4, 4, 3)),
            quant.QuantConv3D(2, 2, **BINARY),
            quant.QuantConv3DTranspose(2, 2, strides=1, **transposing),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )


def residual(keras, quant):
    """Nested models, what is used twice or frozen or has no trainable weights, sums."""

    def block(name=None):
        inputs = keras.Input((8,))
        outputs = keras.layers.BatchNormalization(center=False, scale=False)(inputs)
        outputs = quant.QuantDense(8, trainable=False, **BINARY)(outputs)
        outputs = keras.layers.BatchNormalization()(outputs)
        outputs = quant.QuantDense(8, **BINARY)(outputs)
        outputs = keras.layers.BatchNormalization(scale=False, center=False)(outputs)
        outputs = keras.layers.Add()([outputs, inputs])
        arguments = {} if name is None else {"name": name}
        return keras.Model(inputs, outputs, **arguments)

    shared = quant.QuantDense(8, **BINARY)
    first, second, third = block(), block("second"), block()
    tail = keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            quant.QuantDense(8, name="inner", **BINARY),
            keras.layers.Dense(3),
        ]
    )
    inputs = keras.Input((8,))
    flow = shared(inputs)
    flow = first(flow)
    flow = keras.layers.Add()([second(flow), flow])
    flow = shared(first(flow))
    flow = third(flow)
    outer_inputs = keras.Input((8,))
    outer_flow = keras.layers.BatchNormalization()(outer_inputs)
    outer = keras.Model(outer_inputs, block("deep")(outer_flow))
    flow = outer(flow)
    return keras.Model(inputs, tail(flow))


def branches(keras, quant):
    """Layers in another order than they are made; one inside and outside of a model."""
    last = quant.QuantDense(6, **BINARY)
    shared = quant.QuantDense(6, **BINARY)
    inner_inputs = keras.Input((6,))
    inner_flow = keras.layers.BatchNormalization()(shared(inner_inputs))
    inner = keras.Model(inner_inputs, quant.QuantDense(6, **BINARY)(inner_flow))
    inputs = keras.Input((6,))
    left = quant.QuantDense(6, **BINARY)(inputs)
    right = quant.QuantDense(6, **BINARY)(inputs)
    flow = keras.layers.Add()([inner(right), left])
    flow = keras.layers.Concatenate()([shared(flow), quant.QuantDense(6)(flow)])
    flow = last(quant.QuantDense(6, **BINARY)(flow))
    return keras.Model(inputs, keras.layers.Dense(2)(flow))


def many(keras, quant):
    """Twelve layers of one class and shape, whose names count on from 7."""
    for _ in range(7):
        quant.QuantDense(1)
        keras.layers.BatchNormalization()
    layers = [keras.Input((5,))]
    for _ in range(12):
        layers += [
            quant.QuantDense(5, **KERNEL_ONLY),
            keras.layers.BatchNormalization(),
        ]
    return keras.Sequential([*layers, keras.layers.Dense(2, name="dense_10")])


def flips(keras, quant):
    """Layers that count their flips."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            quant.QuantDense(5, **BINARY),
            keras.layers.BatchNormalization(),
            quant.QuantDense(5, **BINARY),
            keras.layers.Dense(2),
        ]
    )


def _block_class(keras, quant):
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = quant.QuantDense(6, **BINARY)
            self.bn = keras.layers.BatchNormalization(name="bn")
            self.several = [quant.QuantDense(6, **BINARY) for _ in range(2)]
            self.gain = self.add_weight(name="gain", shape=(6,), initializer="ones")

        def call(self, inputs):
            flow = self.bn(self.dense(inputs))
            for layer in self.several:
                flow = layer(flow)
            return inputs + self.gain * flow

    return Block


def subclassed(keras, quant):
    """A model of the user's own, with layers in attributes, in lists, and in layers."""
    block = _block_class(keras, quant)

    class Network(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.stem = keras.layers.Dense(6)
            self.first = block()
            self.twin = block()
            self.also_twin = self.twin
            self.head = quant.QuantDense(3, **BINARY)

        def call(self, inputs):
            flow = self.twin(self.first(self.stem(inputs)))
            return self.head(self.also_twin(flow))

    return Network()


def wrapped(keras, quant):
    """Layers of the user's own, and Keras' own that hold others."""
    block = _block_class(keras, quant)
    return keras.Sequential(
        [
            keras.Input((6,)),
            block(),
            block(name="second"),
            quant.QuantDense(6, **BINARY),
            keras.layers.Reshape((3, 2)),
            keras.layers.TimeDistributed(quant.QuantDense(4, **BINARY)),
            keras.layers.Bidirectional(keras.layers.LSTM(2)),
            keras.layers.LayerNormalization(),
            quant.QuantDense(2),
        ]
    )


def local(keras, quant):
    """Locally connected layers in both dimensions, which only Larq's modules have."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            quant.QuantLocallyConnected2D(3, 3, **{**BINARY, "use_bias": True}),
            keras.layers.Reshape((16, 3)),
            quant.QuantLocallyConnected1D(2, 3, strides=2, **BINARY),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )


NETWORKS = {
    function.__name__: function
    for function in (
        dense,
        convolutional,
        separable,
        transposed,
        residual,
        branches,
        many,
        flips,
        subclassed,
        wrapped,
        local,
    )
}
INPUT_SHAPES = {
    "dense": (12,),
    "convolutional": (8, 8, 2),
    "separable": (6, 6, 2),
    "transposed": (4, 4, 2),
    "residual": (8,),
    "branches": (6,),
    "many": (5,),
    "flips": (6,),
    "subclassed": (5,),
    "wrapped": (6,),
    "local": (6, 6, 2),
}
