"""API keys, and where the service may listen without any.

`python -m kerasbnn.serve.security` makes a key and the entry that stands for it.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from kerasbnn._errors import CommandError

from .settings import ENVIRONMENT_PREFIX, Settings

HEALTH = frozenset({"/v2/health/live", "/v2/health/ready"})
SHORTEST_KEY = 16

# A browser asks for a name and a password; other clients read the body.
CHALLENGE = {"WWW-Authenticate": 'Basic realm="kerasbnn", charset="UTF-8"'}
MISSING_KEY = (
    "This service needs an API key, and the request has none that it knows. Send it as "
    "'Authorization: Bearer KEY', as 'X-API-Key: KEY', or as the password of HTTP "
    "Basic."
)

_KEY = re.compile(rf"[!-~]{{{SHORTEST_KEY},512}}")
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")


class KeyCheck:
    """Tells whether the headers of a request hold a key.

    Only SHA-256 digests of the keys are kept. A key is compared with all of them, in a
    time that does not depend on where they differ.

    Args:
        settings: `api_keys` and `api_keys_file` are read, once.

    Raises:
        CommandError: An entry is not a key, or the file cannot be read.

    Example:
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.security import KeyCheck
        >>> check = KeyCheck(Settings(api_keys="correct-horse-battery"))
        >>> check.allows([(b"x-api-key", b"correct-horse-battery")])
        True
        >>> check.allows([(b"authorization", b"Bearer wrong-horse-battery")])
        False
    """

    def __init__(self, settings: Settings):
        digests = [
            _digest(entry, f"entry {number} of the API keys")
            for number, entry in enumerate(settings.api_keys, 1)
        ]
        if settings.api_keys_file is not None:
            digests += _digests_of_file(settings.api_keys_file)
        self._digests = tuple(dict.fromkeys(digests))

    def __repr__(self):
        return f"<{type(self).__name__} of {len(self._digests)} keys>"

    @property
    def is_needed(self) -> bool:
        """Whether a key is needed at all."""
        return bool(self._digests)

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request may be answered.

        Args:
            headers: Names, in lower case, and values, as in the scope of ASGI.

        Returns:
            True if no key is needed or one of the headers has a key.
        """
        if not self._digests:
            return True
        is_known = False
        for name, value in headers:
            if name == b"x-api-key":
                is_known |= self._knows(value.strip())
            elif name == b"authorization":
                is_known |= self._knows(_credentials(value))
        return is_known

    def _knows(self, key):
        digest = hashlib.sha256(key).digest()
        is_known = False
        for known in self._digests:
            is_known |= hmac.compare_digest(digest, known)
        return is_known


def is_open(path: str) -> bool:
    """Return whether a path needs no key: those that supervisors of servers probe.

    Args:
        path: Path of the request.

    Example:
        >>> from kerasbnn.serve.security import is_open
        >>> is_open("/v2/health/ready"), is_open("/metrics")
        (True, False)
    """
    return path in HEALTH


def check_exposure(settings: Settings):
    """Check that a service that others can reach asks for keys.

    Args:
        settings: The settings.

    Raises:
        CommandError: It listens on an address that is not of this machine alone, with
            no keys, and `allow_unauthenticated` is not set.

    Example:
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.security import check_exposure
        >>> check_exposure(Settings(host="127.0.0.1"))
        >>> check_exposure(Settings(host="0.0.0.0", allow_unauthenticated=True))
    """
    if settings.is_protected or settings.allow_unauthenticated:
        return
    if _is_loopback(settings.host):
        return
    raise CommandError(
        f"others can reach {settings.host!r}, and no API keys are set. Set some (--api-"
        f"keys-file FILE or {ENVIRONMENT_PREFIX}API_KEYS; `python -m "
        "kerasbnn.serve.security` makes one), listen on 127.0.0.1, or pass --allow-"
        "unauthenticated to let anyone who reaches the address use the service."
    )


def entry_of(key: str) -> str:
    """Return what stands for a key in the settings and keeps it secret.

    Args:
        key: The key.

    Returns:
        `sha256:` and its SHA-256 digest in hexadecimal.

    Example:
        >>> from kerasbnn.serve.security import entry_of
        >>> entry_of("correct-horse-battery")[:14]
        'sha256:6224936'
    """
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _digest(entry, place):
    found = _DIGEST.fullmatch(entry)
    if found:
        return bytes.fromhex(found[1])
    if entry.startswith("sha256:"):
        raise CommandError(
            f"{place} starts with 'sha256:' and goes on with something other than the "
            "64 hexadecimal digits that were expected. Make them with `printf %s KEY | "
            "sha256sum`."
        )
    if not _KEY.fullmatch(entry):
        raise CommandError(
            f"{place} cannot be a key: expected {SHORTEST_KEY} to 512 visible ASCII "
            "characters without blanks. `python -m kerasbnn.serve.security` makes one."
        )
    return hashlib.sha256(entry.encode()).digest()


def _digests_of_file(path: Path):
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise CommandError(
            f"the file of API keys, '{path}', cannot be read: {reason}. Expected a key "
            "or sha256:HEX on each line."
        ) from None
    digests = [
        _digest(line.strip(), f"line {number} of '{path}'")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not digests:
        raise CommandError(
            f"the file of API keys, '{path}', has none. Write a key or sha256:HEX on "
            "each line, or leave the file out."
        )
    return digests


def _credentials(value):
    """Return the key of an Authorization header, or nothing that could be one."""
    scheme, _, rest = value.strip().partition(b" ")
    scheme, rest = scheme.lower(), rest.strip()
    if scheme == b"bearer":
        return rest
    if scheme == b"basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            pass
    return b""


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None) if host else []
    except OSError:
        found = []
    return bool(found) and all(
        ipaddress.ip_address(address[0]).is_loopback for *_, address in found
    )


def main():
    """Print a new key and its entry."""
    key = secrets.token_urlsafe(32)
    print(f"key, for the client:    {key}")
    print(f"entry, for the service: {entry_of(key)}")


if __name__ == "__main__":
    main()
