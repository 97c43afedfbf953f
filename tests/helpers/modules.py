"""The modules of the package."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path

import kerasbnn

HAS_TFMOT = importlib.util.find_spec("tensorflow_model_optimization") is not None
# Those that cannot be imported without it, and those whose examples need it.
_IMPORTS_TFMOT = {
    f"kerasbnn.tfmot.{name}"
    for name in ("annotating", "model_files", "tf_keras_quantizers")
}
SHOWS_TFMOT = _IMPORTS_TFMOT | {
    "kerasbnn.tfmot.carrying_over",
    "kerasbnn.tfmot.loading",
}


def all_modules():
    """Return what `pkgutil` knows of each module below `kerasbnn`.

    Those that import tensorflow-model-optimization are left out where it is missing.


    An editable install puts the checkout itself among the package's paths, for the sake
    of `kerasbnn.serve`; so the two folders are walked by themselves.
    """
    here = [str(Path(kerasbnn.__file__).parent)]
    serve = importlib.import_module("kerasbnn.serve")
    found = [
        *pkgutil.walk_packages(here, "kerasbnn."),
        *pkgutil.iter_modules([str(Path(serve.__file__).parents[1])], "kerasbnn."),
        *pkgutil.walk_packages(serve.__path__, "kerasbnn.serve."),
    ]
    ours = {module.name: module for module in found}
    foreign = ("kerasbnn.kerasbnn", "kerasbnn.tests")
    missing = set() if HAS_TFMOT else _IMPORTS_TFMOT
    return [
        module
        for name, module in ours.items()
        if not name.startswith(foreign) and name not in missing
    ]
