"""The modules of the package."""

import importlib
import pkgutil
from pathlib import Path

import kerasbnn


def all_modules():
    """Return what `pkgutil` knows of each module below `kerasbnn`.

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
    return [module for name, module in ours.items() if not name.startswith(foreign)]
