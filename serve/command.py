"""The command `kerasbnn serve`; its flags are made from the settings."""

import argparse
import os
from pathlib import Path
from typing import Any, get_args

from kerasbnn._errors import CommandError

INSTALL = 'Run: pip install "kerasbnn[serve]".'


def add_arguments(parser: argparse.ArgumentParser):
    """Declare a flag for each setting.

    Args:
        parser: The parser.

    Raises:
        CommandError: Something is not installed.
    """
    settings = _import_settings()
    parser.add_argument(
        "model_dir",
        nargs="?",
        type=Path,
        default=None,
        metavar="MODEL_DIR",
        help=settings.Settings.model_fields["model_dir"].description,
    )
    group = parser.add_argument_group(
        "settings",
        f"each also by an environment variable, {settings.ENVIRONMENT_PREFIX}PORT and "
        "so on",
    )
    for name, field in settings.Settings.model_fields.items():
        if name == "model_dir":
            continue
        default = "none" if field.default in (None, ()) else field.default
        text = f"{field.description} (default: {default})".replace("%", "%%")
        options: dict[str, Any] = {"help": text, "default": None, "dest": name}
        if field.annotation is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            choices = get_args(field.annotation)
            is_word = bool(choices) and all(isinstance(c, str) for c in choices)
            options["metavar"] = "|".join(choices) if is_word else name.upper()
        group.add_argument(f"--{name.replace('_', '-')}", **options)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it.

    Args:
        arguments: What `add_arguments` declares.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: A setting or a model is not usable.
    """
    settings = _import_settings()
    names = settings.Settings.model_fields
    given = {name: getattr(arguments, name) for name in names}
    from pydantic import ValidationError

    try:
        chosen = settings.Settings(**{k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        raise CommandError(_in_words(error)) from error
    # Threads of numpy's own would compute outside of the budget of the geometry.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from .server import serve
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name!r} is not installed. {INSTALL}") from error
    return serve(chosen)


def _import_settings():
    try:
        from . import settings
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name!r} is not installed. {INSTALL}") from error
    return settings


def _in_words(error):
    lines = []
    for found in error.errors(include_url=False):
        name = str(found["loc"][0]) if found["loc"] else "settings"
        flag = "--" + name.replace("_", "-")
        shown = "" if name == "api_keys" else f" Received: {found['input']!r}."
        lines.append(f"{flag}: {found['msg']}.{shown}")
    # A union reports once for each of its types.
    return " ".join(dict.fromkeys(lines))
