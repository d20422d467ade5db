"""No network call inside a database transaction: whoever answers slowly would hold our locks. Watched in every test."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.db import connections


@pytest.fixture(autouse=True)
def no_network_in_transactions() -> Iterator[list[str]]:
    """Fail the test in which a socket was used by a thread that had a transaction open, whatever became of the call.

    Yields the list of such uses, each with where it came from.
    """
    offences: list[str] = []
    with _watched(offences):
        yield offences
    assert offences == [], "\n".join(offences)


def _watched(offences: list[str]) -> Any:
    def watching(name: str) -> Any:
        real = getattr(socket.socket, name)

        def use(self: socket.socket, *arguments: Any, **named: Any) -> Any:
            if _is_inside_transaction():
                frames = "".join(traceback.format_list(traceback.extract_stack(limit=14)[:-1]))
                offences.append(f"socket.{name} inside a transaction:\n{frames}")
            return real(self, *arguments, **named)

        return use

    return mock.patch.multiple(socket.socket, **{name: watching(name) for name in ("connect", "send", "sendall")})


def _is_inside_transaction() -> bool:
    """Return whether this thread has a transaction open; the one a test case wraps itself in is marked by Django."""
    opened = connections.all(initialized_only=True)
    return any(not getattr(block, "_from_testcase", False) for each in opened for block in each.atomic_blocks)
