"""What is public in real Larq, and its configs: a part of `make_fixtures.py`.

It needs Larq, as that does.
"""

import inspect
import json

import larq as lq

from tests.larq import cases

MODULES = (
    "activations",
    "callbacks",
    "constraints",
    "context",
    "layers",
    "math",
    "metrics",
    "models",
    "optimizers",
    "quantizers",
    "utils",
)


def signatures():
    found = {}
    for module in MODULES:
        home = getattr(lq, module)
        public = getattr(home, "__all__", None) or [
            name
            for name, value in vars(home).items()
            if getattr(value, "__module__", None) == home.__name__
            and not name.startswith("_")
        ]
        for name in public:
            value = getattr(home, name)
            call = value.__init__ if inspect.isclass(value) else value
            if not callable(call):
                continue
            found[f"{module}.{name}"] = [
                [parameter.name, parameter.kind.name]
                + (
                    []
                    if parameter.default is parameter.empty
                    else [repr(parameter.default)]
                )
                for parameter in inspect.signature(call).parameters.values()
                if parameter.name != "self"
            ]
    return found


def configs():
    found = {"version": lq.__version__}
    for name, case in cases.LAYERS.items():
        layer = getattr(lq.layers, case.cls)(*case.args, **case.kwargs, name=name)
        found[f"layer/{name}"] = layer.get_config()
    for name, (cls, kwargs) in cases.QUANTIZERS.items():
        quantizer = getattr(lq.quantizers, cls)(**kwargs, name=name)
        found[f"quantizer/{name}"] = quantizer.get_config()
    found["constraint"] = lq.constraints.WeightClip(0.5).get_config()
    found["metric"] = lq.metrics.FlipRatio().get_config()
    found["bop"] = lq.optimizers.Bop(threshold=0.5, gamma=0.25).get_config()
    return json.loads(json.dumps(found, default=float))
