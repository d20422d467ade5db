"""The secrets of a trial: made on its first start, so that even its database is encrypted with keys of its own."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

from config.environment_reader import Reader

SECRET_NAMES = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BLIND_INDEX_KEY")


def embedded_secrets(reader: Reader, var_directory: Path) -> dict[str, str]:
    """The secrets by name, read from `secrets.env` in the var directory, which is written on the first start.

    A database cannot be read again without the secrets it was written with, so a lost file is reported as a problem
    and never replaced by new keys.
    """
    if all(reader.text(name) for name in SECRET_NAMES):
        return {}
    path = var_directory / "secrets.env"
    if path.exists():
        return _stored(path)
    if not reader.text("DATABASE_URL") and (var_directory / "demo.sqlite3").exists():
        reader.problem(
            f"{var_directory.name}/{path.name}",
            "is gone, and the database beside it cannot be read without it",
            "put the file back, or throw the trial's data away with: make clean",
        )
        return _new_secrets()
    return _write_once(path)


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "BLIND_INDEX_KEY": secrets.token_urlsafe(48),
    }


def _write_once(path: Path) -> dict[str, str]:
    """Several processes may start at once on a fresh checkout: a hard link lets exactly one of their files win."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # readable by the owner only
    with open(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in _new_secrets().items())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    os.unlink(draft)
    return _stored(path)


def _stored(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
