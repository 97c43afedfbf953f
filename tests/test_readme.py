"""The README as its reader takes it: every block runs and prints what it says."""

import json
import re
import tomllib
from itertools import pairwise

import pytest

from tests.helpers.processes import ROOT, run_python

README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Runs the blocks one after the other as one session, and prints what each one printed.
SESSION = """
import contextlib, io, json, sys

outputs, names = [], {"__name__": "__main__"}
for first_line, source in json.loads(sys.argv[1]):
    # A traceback names the line of the README.
    code = compile("\\n" * (first_line - 1) + source, "README.md", "exec")
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(code, names)
    outputs.append(output.getvalue())
print(json.dumps(outputs))
"""


def blocks():
    """Return `(language, line of its first line, text)` for every fenced block."""
    text = README.read_text()
    assert text.count("\n```") == 2 * len(BLOCK.findall(text)), "a block is not closed"
    return [
        (found[1], text.count("\n", 0, found.start()) + 2, found[2])
        for found in BLOCK.finditer(text)
    ]


def shell_lines():
    return [
        line
        for language, _, text in blocks()
        if language == "bash"
        for line in text.splitlines()
    ]


def run_session(python, folder):
    """Run blocks in one fresh process; return what each printed."""
    printed = run_python("-c", SESSION, json.dumps(python), folder=folder)
    return json.loads(printed.splitlines()[-1])


def test_every_python_block_runs_and_prints_what_follows_it(tmp_path):
    found = blocks()
    python = [(line, text) for language, line, text in found if language == "python"]
    assert len(python) >= 5
    measure = (1, "print(model.evaluate(x_test, y_test, verbose=0)[1])\n")
    first, accuracy, *others = run_session([python[0], measure, *python[1:]], tmp_path)
    printed = dict(zip((line for line, _ in python), [first, *others], strict=True))

    promised = re.search(r"ends near (\d+) % accuracy", README.read_text())[1]
    assert float(accuracy) == pytest.approx(int(promised) / 100, abs=0.025)

    compared = 0
    for (before, before_line, _), (language, line, text) in pairwise(found):
        if language == "text":
            assert before == "python", f"README.md, line {line}"
            shown = {row.rstrip() for row in printed[before_line].splitlines()}
            missing = [row for row in text.splitlines() if row not in shown]
            assert not missing, f"README.md, line {line}: {missing} not in {shown}"
            compared += 1
    assert compared >= 2


def test_the_first_example_is_short_and_comes_before_all_else():
    languages = [language for language, _, _ in blocks()]
    assert languages[:3] == ["bash", "python", "text"]
    example = blocks()[1][2]
    assert len(example.splitlines()) <= 16
    assert shell_lines()[0] == 'pip install "kerasbnn[tensorflow]"'


def test_the_two_commands_stand_as_they_are():
    assert 'pip install ".[demo]" && kerasbnn demo' in shell_lines()
    assert 'pip install -e ".[all,test]" && pytest' in shell_lines()


def test_every_installed_extra_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [
        extra.strip()
        for line in shell_lines()
        for group in re.findall(r"\[([\w, ]+)\]", line)
        for extra in group.split(",")
    ]
    assert {"tensorflow", "demo", "all", "test"} <= set(named)
    assert set(named) <= set(extras)
    assert project["scripts"] == {"kerasbnn": "kerasbnn.cli:main"}


def test_every_command_exists(capsys):
    from kerasbnn import cli

    text = README.read_text()
    commands = set(re.findall(r"(?:`|&& )kerasbnn (\w+)", text))
    assert {"demo", "summary"} <= commands
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        assert end.value.code == 0
        assert f"usage: kerasbnn {command}" in capsys.readouterr().out


def test_every_link_into_the_repository_leads_somewhere():
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README.read_text())
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_table_of_quantizers_is_complete():
    from kerasbnn import quantizers

    rows = re.findall(r'^\| (?:`"(\w+)"`|–) \| `(\w+)` \|', README.read_text(), re.M)
    classes = {name: cls.__name__ for name, cls in quantizers.ALIASES.items()}
    listed = {name: cls for name, cls in rows if name}
    assert listed == {name: classes[name] for name in listed}
    public = {n for n in quantizers.__all__ if n[0].isupper()} - {"Quantizer"}
    assert {cls for _, cls in rows} == public
