"""Numbers with their noun, as people say them."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """Return "1 patient", "3 patients"; ``several`` where it is not ``one`` with an s: "2 entries"."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
