"""Password files in Mosquitto's format, and passwords to put into them.

The hash is computed here and not by `mosquitto_passwd`, which takes the password on its command line, where
every user of the machine can read it.
"""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from tierline_broker.errors import ServerError

# Mosquitto checks the hash on its one thread at each connect; 1000 rounds are what its 2.1 writes itself.
_ROUNDS = 1000
_SALT_BYTES = 12  # no other length is accepted
_USER = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def generate_password() -> str:
    """Return a new random password of 144 bits."""
    return secrets.token_urlsafe(18)


def hash_password(password: str, *, salt: bytes | None = None, rounds: int = _ROUNDS) -> str:
    """Return `password` as a `$7$` hash (PBKDF2 with HMAC-SHA512), as Mosquitto 2 reads it.

    Args:
        password: what the user will give.
        salt: twelve bytes; random by default.
        rounds: how slow guessing is made.
    """
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def write_password_file(path: Path, passwords: Mapping[str, str]) -> None:
    """Write a new password file that only we can read.

    Args:
        path: must not exist yet: credentials that devices use are never replaced by accident.
        passwords: password by user name.

    Raises:
        ServerError: the file exists or cannot be written, or a user name is not plain.
    """
    for user in passwords:
        if not _USER.match(user):
            raise ServerError(
                f"user name {user!r} must be 1 to 64 letters, digits, dots, hyphens or underscores"
            )
    lines = "".join(f"{user}:{hash_password(password)}\n" for user, password in passwords.items())
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise ServerError(f"password file {path} exists already; name another, or remove it first") from None
    except OSError as error:
        raise ServerError(f"password file {path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(lines)
