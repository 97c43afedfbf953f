"""Settings from arguments, the environment and flags."""

import argparse
import re

import pytest
from pydantic import ValidationError

from kerasbnn._errors import CommandError
from kerasbnn.serve import command
from kerasbnn.serve.settings import ENVIRONMENT_PREFIX, Settings
from tests.helpers.processes import ROOT


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)


def test_an_argument_wins_over_the_environment_and_that_over_the_default(monkeypatch):
    assert Settings().port == 8000
    monkeypatch.setenv("KERASBNN_SERVE_PORT", "9000")
    assert Settings().port == 9000
    assert Settings(port=9001).port == 9001


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1024", 1024),
        ("64k", 65536),
        ("64K", 65536),
        ("1M", 2**20),
        ("2 MiB", 2**21),
        ("1g", 2**30),
    ],
)
def test_sizes_have_units(text, expected, monkeypatch):
    monkeypatch.setenv("KERASBNN_SERVE_MAX_BODY", text)
    assert Settings().max_body == expected


@pytest.mark.parametrize("text", ["", "-1", "1T", "10x", "1.5M", "1023"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValidationError, match="max_body"):
        Settings(max_body=text)


def test_batching_is_a_word_or_a_number(monkeypatch):
    monkeypatch.setenv("KERASBNN_SERVE_BATCHING", "16")
    assert Settings().batching == 16
    assert Settings(batching="off").batching == "off"
    for wrong in ("on", "0", "-4", 1.5):
        with pytest.raises(ValidationError, match="batching"):
            Settings(batching=wrong)


def test_keys_are_separated_by_commas_and_never_shown(monkeypatch):
    monkeypatch.setenv("KERASBNN_SERVE_API_KEYS", "first, second ,")
    settings = Settings()
    assert settings.api_keys == ("first", "second")
    assert settings.is_protected
    assert "first" not in repr(settings)
    assert not Settings(api_keys=()).is_protected


@pytest.mark.parametrize("text", [",", " ", " , ,"])
def test_separators_without_a_key_do_not_open_the_service(text, monkeypatch):
    with pytest.raises(ValidationError, match="holds no key"):
        Settings(api_keys=text)
    monkeypatch.setenv("KERASBNN_SERVE_API_KEYS", text)
    with pytest.raises(ValidationError, match="holds no key"):
        Settings()


def test_an_empty_variable_counts_as_unset(monkeypatch):
    # As compose files pass on what is not set.
    monkeypatch.setenv("KERASBNN_SERVE_MODEL_DIR", "")
    monkeypatch.setenv("KERASBNN_SERVE_API_KEYS", "")
    assert Settings().model_dir is None
    assert not Settings().is_protected


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=1)


def parsed(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_every_setting_has_a_flag():
    help_text = []
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    help_text = parser.format_help()
    for name in Settings.model_fields:
        if name != "model_dir":
            assert f"--{name.replace('_', '-')}" in help_text
    given = vars(parsed("models", "--port", "1", "--allow-non-finite"))
    assert given["port"] == "1"
    assert given["allow_non_finite"] is True
    assert given["host"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port: .*65535.*'70000'"),
        (["--batching", "fast"], "--batching: .*'fast'"),
        (["--log-level", "loud"], "--log-level: .*'debug'"),
        (["--max-body", "ten"], "--max-body: "),
        (["--api-keys", ","], "--api-keys: .*holds no key"),
    ],
)
def test_a_wrong_flag_is_named(words, message):
    with pytest.raises(CommandError, match=message):
        command.run(parsed(*words))


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "serving.md").read_text()
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| ([^|]+) \|", text, re.MULTILINE))
    for name, field in Settings.model_fields.items():
        if name == "model_dir":
            continue
        flag = name.replace("_", "-")
        assert flag in rows, f"docs/serving.md has no row for --{flag}"
        default = "none" if field.default in (None, ()) else str(field.default)
        assert rows[flag].strip(" `") == default.lower(), flag
