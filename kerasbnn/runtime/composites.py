"""The operations that a kerasbnn file adds to those built into LiteRT.

Each is a STABLEHLO_COMPOSITE: a name, a map of integers, and a subgraph of built-in
operations that computes the same. `docs/format.md` describes them.
"""

import dataclasses
from dataclasses import dataclass

from kerasbnn.runtime.bitpacking import words_for

FORMAT_VERSION = 1
PREFIX = "kerasbnn."

# Name of the metadata of a file: JSON, as `docs/format.md` says.
METADATA = "kerasbnn"

DENSE = "kerasbnn.dense"
CONV_2D = "kerasbnn.conv2d"
DEPTHWISE_CONV_2D = "kerasbnn.depthwise_conv2d"
NAMES = (DENSE, CONV_2D, DEPTHWISE_CONV_2D)

# What `input` and `output` may be.
BITS = 0
SIGN_OF_FLOAT = 1
FLOAT = 2


@dataclass(frozen=True)
class Composite:
    """What one composite operation computes.

    With `a` the inputs, `w` the weights of -1 and 1 (or 0), padded as the attributes
    say::

        dot = sum(a * w)
        dot = max_pool(dot)         where `pool_first`
        y = float32(dot * scale)    rounded, then
        y = y + bias                rounded again
        y = y + residual            where `residual`
        y = max_pool(y)             where pooled and not `pool_first`
        bit = y < 0                 where `output` is BITS

    Attributes:
        name: `DENSE`, `CONV_2D` or `DEPTHWISE_CONV_2D`.
        in_channels: Channels of the inputs; for a dense layer its fan-in.
        out_channels: Channels of the outputs.
        kernel_h: Height of the window.
        kernel_w: Width of the window.
        stride_h: Vertical stride.
        stride_w: Horizontal stride.
        dilation_h: Vertical dilation.
        dilation_w: Horizontal dilation.
        same: 1 to pad as TensorFlow's "SAME" does, 0 for "VALID".
        pad_value: What is padded with: 0, 1 or -1.
        groups: Number of groups of channels that are convolved apart; 1 for a dense
            layer and for a depthwise convolution.
        weight_bits: 1 for weights of -1 and 1; 2 where they may be 0.
        input: `BITS`; `SIGN_OF_FLOAT`: floats whose signs are the inputs; or `FLOAT`.
        output: `BITS` or `FLOAT`.
        pool_h: Height of the max-pooling; 0 for none.
        pool_w: Its width; 0 for none.
        pool_stride_h: Its vertical stride.
        pool_stride_w: Its horizontal stride.
        pool_same: 1 for pooling with "SAME" padding.
        pool_first: 1 to pool the dot products, 0 to pool what becomes of them.
        residual: 1 where a tensor of the shape of the outputs is added. Not together
            with pooling.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    same: int = 0
    pad_value: int = 0
    groups: int = 1
    weight_bits: int = 1
    input: int = BITS
    output: int = FLOAT
    pool_h: int = 0
    pool_w: int = 0
    pool_stride_h: int = 1
    pool_stride_w: int = 1
    pool_same: int = 0
    pool_first: int = 0
    residual: int = 0

    @property
    def is_pooled(self) -> bool:
        """Whether there is a max-pooling."""
        return self.pool_h > 0

    @property
    def fan_in(self) -> int:
        """Number of weights of each output channel."""
        taps = self.kernel_h * self.kernel_w
        if self.name == DEPTHWISE_CONV_2D:
            return taps
        return taps * self.in_channels // self.groups

    @property
    def filters_shape(self) -> tuple[int, ...]:
        """Shape of the packed weights."""
        in_word = 4 * self.weight_bits
        if self.name == DENSE:
            return (self.out_channels, in_word * words_for(self.in_channels))
        taps = (self.kernel_h, self.kernel_w)
        if self.name == DEPTHWISE_CONV_2D:
            return (*taps, in_word * words_for(self.out_channels))
        channels = self.in_channels // self.groups
        return (self.out_channels, *taps, in_word * words_for(channels))

    def output_shape(self, input_shape) -> tuple[int, ...]:
        """Return the shape of the outputs.

        Args:
            input_shape: `(batch, height, width, channels or bytes)`, or for a dense
                layer `(batch, channels or bytes)`.

        Returns:
            `(batch, ..., channels or bytes)`.
        """
        channels = self.out_channels
        if self.output == BITS:
            channels = 4 * words_for(channels)
        if self.name == DENSE:
            return (input_shape[0], channels)
        reach = (self.kernel_h - 1) * self.dilation_h + 1
        height = _steps(input_shape[1], reach, self.stride_h, self.same)
        reach = (self.kernel_w - 1) * self.dilation_w + 1
        width = _steps(input_shape[2], reach, self.stride_w, self.same)
        if self.is_pooled:
            height = _steps(height, self.pool_h, self.pool_stride_h, self.pool_same)
            width = _steps(width, self.pool_w, self.pool_stride_w, self.pool_same)
        return (input_shape[0], height, width, channels)

    def attributes(self) -> dict[str, int]:
        """Return the map of integers that goes into the file."""
        values = dataclasses.asdict(self)
        del values["name"]
        return {"version": FORMAT_VERSION, **values}

    @classmethod
    def from_attributes(cls, name: str, attributes: dict[str, int]) -> "Composite":
        """Make an instance from a name and a map of a file.

        Args:
            name: Name of the composite.
            attributes: Its map.

        Returns:
            The instance.

        Raises:
            ValueError: The name, the version or an attribute is unknown, or one is
                missing.
        """
        expected = {field.name for field in dataclasses.fields(cls)} - {"name"}
        version = attributes.get("version")
        if name not in NAMES or version != FORMAT_VERSION:
            raise ValueError(
                f"Composite {name!r} of version {version} is not known to this "
                f"kerasbnn, which knows {', '.join(NAMES)} of version "
                f"{FORMAT_VERSION}. Install the kerasbnn that wrote the file, or a "
                "later one."
            )
        values = {key: int(attributes[key]) for key in expected & set(attributes)}
        wrong = (expected | {"version"}) ^ set(attributes)
        if wrong:
            raise ValueError(
                f"Composite {name!r} must have the attributes {sorted(expected)}; "
                f"missing or unknown: {sorted(wrong)}. The file is damaged."
            )
        return cls(name=name, **values)


def _steps(size, reach, stride, same):
    if same:
        return -(-size // stride)
    return (size - reach) // stride + 1
