"""Check the import contracts of the folders at hand; arguments as for `lint-imports`.

An editable install puts the whole checkout among the paths of the package `kerasbnn`,
for the sake of `kerasbnn.serve`, which would make `tests` a part of it. So the folders
are imported here from where they lie.
"""

import sys
from pathlib import Path

sys.meta_path = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
sys.path.insert(0, str(Path.cwd()))

from importlinter.cli import lint_imports_command  # noqa: E402

lint_imports_command()
