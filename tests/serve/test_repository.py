"""Where models are found, and what is said where there are none."""

import os

import pytest

from kerasbnn._errors import CommandError
from kerasbnn.serve.models.repository import ModelFiles, find_models, version_order


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"TFL3")
    return folder


def test_names_and_versions_of_a_folder(tmp_path):
    write(tmp_path / "digits" / "10", "model.tflite")
    write(tmp_path / "digits" / "9", "model.tflite", "model.probe.tflite")
    write(tmp_path / "cats" / "beta", "model.tflite", "geometry.json", "labels.txt")
    write(tmp_path / "cats" / "empty")
    write(tmp_path / "cats" / ".1.part" / "1", "model.tflite")
    write(tmp_path / ".trash" / "1", "model.tflite")
    write(tmp_path, "readme.txt")
    found = find_models(tmp_path)
    assert [(f.name, f.version) for f in found] == [
        ("cats", "beta"),
        ("digits", "9"),
        ("digits", "10"),
    ]
    cats, nine, ten = found
    assert (cats.probe, nine.geometry, ten.labels) == (None, None, None)
    assert cats.geometry == tmp_path / "cats" / "beta" / "geometry.json"
    assert cats.labels == tmp_path / "cats" / "beta" / "labels.txt"
    assert nine.probe == tmp_path / "digits" / "9" / "model.probe.tflite"


@pytest.mark.parametrize("inside", ["", "digits", "digits/1"])
def test_a_folder_of_one_model_or_version_will_do(inside, tmp_path):
    write(tmp_path / "digits" / "1", "model.tflite")
    (files,) = find_models(tmp_path / inside)
    assert (files.name, files.version) == ("digits", "1")


def test_a_single_file(tmp_path):
    write(tmp_path, "My net (2).tflite", "My net (2).probe.tflite")
    assert find_models(tmp_path / "My net (2).tflite") == [
        ModelFiles(
            "My-net-2",
            "1",
            tmp_path / "My net (2).tflite",
            tmp_path / "My net (2).probe.tflite",
        )
    ]


def test_the_current_folder(tmp_path, monkeypatch):
    from pathlib import Path

    write(tmp_path / "digits" / "1", "model.tflite")
    monkeypatch.chdir(tmp_path / "digits" / "1")
    (files,) = find_models(Path())
    assert (files.name, files.version) == ("digits", "1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none", "no file or folder"),
        (lambda p: write(p / "empty"), "holds no model: expected NAME/VERSION"),
        (lambda p: write(p, "x.keras") / "x.keras", "no .tflite file"),
        (
            lambda p: write(p / "b" / "my net" / "1", "model.tflite").parent.parent,
            "'my net' .* name of a model",
        ),
        (
            lambda p: write(p / "b" / "net" / "-x", "model.tflite").parent.parent,
            "'-x' .* name of a version",
        ),
        (
            lambda p: write(p / "stats" / "1", "model.tflite"),
            "cannot have the name 'stats'.*Rename '.*stats'",
        ),
        (
            lambda p: write(p, "stats.tflite") / "stats.tflite",
            "cannot have the name 'stats'.*Rename '.*stats.tflite'",
        ),
    ],
)
def test_what_cannot_be_served_is_said(make, message, tmp_path):
    with pytest.raises(CommandError, match=message):
        find_models(make(tmp_path))


def test_a_folder_of_models_beneath_is_suggested(tmp_path):
    write(tmp_path / "data" / "mnist")
    write(tmp_path / ".old" / "net" / "1", "model.tflite")
    write(tmp_path / "src" / ".new" / "net" / "1", "model.tflite")
    with pytest.raises(CommandError, match="holds no model.*kerasbnn export"):
        find_models(tmp_path)
    write(tmp_path / "models" / "net" / "1", "model.tflite")
    with pytest.raises(CommandError, match=r"Did you mean '(.+)'\?") as error:
        find_models(tmp_path)
    assert f"'{tmp_path / 'models'}'" in str(error.value)
    (files,) = find_models(tmp_path / "models")
    assert (files.name, files.version) == ("net", "1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize(
    "closed", ["", "model.tflite", "model.probe.tflite", "geometry.json", "labels.txt"]
)
def test_what_must_not_be_read_is_named(closed, tmp_path):
    names = ["model.tflite", "model.probe.tflite", "geometry.json", "labels.txt"]
    folder = write(tmp_path / "net" / "1", *names)
    (folder / closed).chmod(0)
    try:
        with pytest.raises(CommandError, match=f"chmod -R a.rX '{folder / closed}'"):
            find_models(tmp_path if closed else folder)
    finally:
        (folder / closed).chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_single_file_that_must_not_be_read_is_named(tmp_path):
    write(tmp_path, "net.tflite", "net.probe.tflite")
    for name in ("net.probe.tflite", "net.tflite"):
        (tmp_path / name).chmod(0)
        with pytest.raises(CommandError, match=f"chmod -R a.rX '{tmp_path / name}'"):
            find_models(tmp_path / "net.tflite")


def test_numbers_are_ordered_as_numbers_after_words():
    versions = ["10", "beta", "2", "alpha", "9"]
    assert sorted(versions, key=version_order) == ["alpha", "beta", "2", "9", "10"]
