"""API keys and the addresses that need them."""

import base64
import hashlib
import logging
import subprocess
import sys

import pytest

from kerasbnn._errors import CommandError
from kerasbnn.serve import security
from kerasbnn.serve.security import KeyCheck, check_exposure, entry_of, is_open
from kerasbnn.serve.settings import Settings

KEY = "v9zVY-Tq3K_0example.of/a+key"
OTHER = "another-key-of-this-service"


def basic(password, user="me"):
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


@pytest.fixture(params=["plain", "digest", "file", "digest in a file"])
def check(request, tmp_path):
    """Check of two keys, however they were given."""
    if request.param == "plain":
        settings = Settings(api_keys=f"{OTHER}, {KEY}")
    elif request.param == "digest":
        digest = hashlib.sha256(KEY.encode()).hexdigest().upper()
        settings = Settings(api_keys=("sha256:" + digest, OTHER))
    else:
        path = tmp_path / "keys.txt"
        entry = KEY if request.param == "file" else entry_of(KEY)
        path.write_text(f"# keys\n\n{OTHER}\r\n  {entry}  \n")
        settings = Settings(api_keys_file=path)
    return KeyCheck(settings)


@pytest.mark.parametrize("key", [KEY, OTHER])
@pytest.mark.parametrize(
    "header",
    [
        lambda key: (b"authorization", b"Bearer " + key.encode()),
        lambda key: (b"authorization", b"bearer  " + key.encode() + b" "),
        lambda key: (b"x-api-key", key.encode()),
        lambda key: (b"authorization", basic(key)),
        lambda key: (b"authorization", basic(key, user="")),
        lambda key: (b"authorization", basic(key).replace(b"Basic", b"BASIC")),
    ],
)
def test_takes_each_key_in_each_form(check, header, key):
    assert check.is_needed
    assert check.allows([(b"host", b"localhost"), header(key), (b"accept", b"*/*")])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-api-key", b"")],
        [(b"x-api-key", KEY[:-1].encode())],
        [(b"x-api-key", KEY.encode() + b"x")],
        [(b"x-api-key", KEY.lower().encode())],
        [(b"x-api-key", hashlib.sha256(KEY.encode()).hexdigest().encode())],
        [(b"x-api-key", entry_of(KEY).encode())],
        [(b"x-api-key", b"Bearer " + KEY.encode())],
        [(b"authorization", KEY.encode())],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Digest " + KEY.encode())],
        [(b"authorization", b"Basic " + KEY.encode())],
        [(b"authorization", b"Basic \xff\xfe")],
        [(b"authorization", basic("", user=KEY))],
        [(b"authorization", b"Basic " + base64.b64encode(KEY.encode()))],
        [(b"cookie", KEY.encode())],
        [(b"x-api-key", b"\xff" * 64)],
    ],
)
def test_refuses_everything_else(check, headers):
    assert not check.allows(headers)


def test_one_right_header_is_enough(check):
    wrong = (b"authorization", basic("something else"))
    right = (b"x-api-key", KEY.encode())
    assert check.allows([wrong, right])
    assert check.allows([right, wrong])


def test_allows_all_without_keys():
    check = KeyCheck(Settings())
    assert not check.is_needed
    assert check.allows([])


def test_compares_with_every_key_in_constant_time(monkeypatch):
    compared = []

    def compare(found, known):
        compared.append(known)
        return found == known

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    check = KeyCheck(Settings(api_keys=(KEY, OTHER)))
    assert check.allows([(b"x-api-key", KEY.encode())])
    # No way out after the first that matches.
    assert compared == [hashlib.sha256(k.encode()).digest() for k in (KEY, OTHER)]


def test_keeps_no_key(check, caplog):
    caplog.set_level(logging.DEBUG)
    check.allows([(b"x-api-key", KEY.encode())])
    kept = repr(check) + repr(vars(check)) + caplog.text
    assert KEY not in kept
    assert OTHER not in kept
    assert "2 keys" in repr(check)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("too-short", "16 to 512 visible"),
        ("k" * 513, "16 to 512 visible"),
        ("a key with blanks in it", "without blanks"),
        ("schlüssel-schlüssel", "ASCII"),
        ("sha256:" + "0" * 63, "64 hexadecimal digits"),
        ("sha256:" + "g" * 64, "64 hexadecimal digits"),
        ("sha256:", "64 hexadecimal digits"),
    ],
)
@pytest.mark.parametrize("place", ["settings", "file"])
def test_refuses_what_is_no_key_without_showing_it(tmp_path, place, entry, words):
    if place == "settings":
        settings, where = Settings(api_keys=(KEY, entry)), "entry 2"
    else:
        path = tmp_path / "keys.txt"
        path.write_text(f"{KEY}\n{entry}\n", "utf-8")
        settings, where = Settings(api_keys_file=path), "line 2"
    with pytest.raises(CommandError, match=words) as caught:
        KeyCheck(settings)
    assert where in str(caught.value)
    assert KEY not in str(caught.value)
    if len(entry) > len("sha256:"):
        assert entry not in str(caught.value)


def test_refuses_a_file_without_keys(tmp_path):
    path = tmp_path / "keys.txt"
    with pytest.raises(CommandError, match="No such file"):
        KeyCheck(Settings(api_keys_file=path))
    with pytest.raises(CommandError, match="Is a directory"):
        KeyCheck(Settings(api_keys_file=tmp_path))
    path.write_text("# none yet\n\n")
    with pytest.raises(CommandError, match="has none"):
        KeyCheck(Settings(api_keys_file=path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="no text") as caught:
        KeyCheck(Settings(api_keys_file=path))
    assert caught.value.__cause__ is None


def test_settings_do_not_show_keys():
    assert KEY not in repr(Settings(api_keys=KEY))


def test_probes_need_no_key():
    assert is_open("/v2/health/live")
    assert is_open("/v2/health/ready")
    for path in ("/", "/v2", "/metrics", "/v2/health/ready/x", "/v2/health/../models"):
        assert not is_open(path), path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_keys(host):
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no.such.invalid"])
def test_other_addresses_need_keys(tmp_path, host):
    with pytest.raises(CommandError, match="allow-unauthenticated") as caught:
        check_exposure(Settings(host=host))
    assert repr(host) in str(caught.value)
    check_exposure(Settings(host=host, api_keys=KEY))
    check_exposure(Settings(host=host, api_keys_file=tmp_path / "keys.txt"))
    check_exposure(Settings(host=host, allow_unauthenticated=True))


def test_makes_a_new_key_each_time():
    command = [sys.executable, "-m", "kerasbnn.serve.security"]
    keys = set()
    for _ in range(2):
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        key, entry = (
            line.split(": ", 1)[1].strip() for line in output.stdout.split("\n")[:2]
        )
        assert KeyCheck(Settings(api_keys=entry)).allows([(b"x-api-key", key.encode())])
        KeyCheck(Settings(api_keys=key))
        keys.add(key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "others can reach '0.0.0.0'"),
        (["--host", "0.0.0.0", "--api-keys", "short"], "entry 1 of the API keys"),
    ],
)
def test_the_service_does_not_start(arguments, words):
    command = [sys.executable, "-m", "kerasbnn.serve", "--port", "0", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "short" not in result.stderr
