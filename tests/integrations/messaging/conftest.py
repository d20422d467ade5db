"""A carrier in a process of its own, forgotten between tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

ACCOUNT = "AC" + "0" * 32
TOKEN = "carrier-token"
NUMBER = "+12125550199"


class CarrierClient:
    """What a test says to the carrier."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _post(self, verb: str, **wish: Any) -> dict[str, Any]:
        return dict(requests.post(f"{self.url}/control/{verb}", json=wish, timeout=40).json())

    def fail(self, fault: str | int, count: int = 1, to: str | None = None) -> None:
        """Have the next ``count`` sends (to that number) end so."""
        self._post("faults", fault=str(fault), count=count, **({"to": to} if to else {}))

    def patient_texts(self, number: str, body: str, *, deliver: bool = True) -> dict[str, Any]:
        """A patient texts our number; undelivered texts are only in the carrier's list."""
        return self._post("patient", **{"from": number, "body": body, "deliver": deliver})

    def messages(self, to: str | None = None) -> list[dict[str, Any]]:
        """Everything the carrier took, oldest first."""
        taken = requests.get(f"{self.url}/control/messages", timeout=10).json()["messages"]
        return [message for message in taken if to in (None, message["to"])]

    def allow(self, per_second: int) -> None:
        """Refuse what is more than that in any one second."""
        self._post("rate", per_second=per_second)

    def too_fast(self) -> int:
        """How many sends were refused for that."""
        return int(requests.get(f"{self.url}/control/messages", timeout=10).json()["too_fast"])

    def reset(self) -> None:
        """Forget everything."""
        self._post("reset")


@pytest.fixture(scope="session")
def carrier_process() -> Iterator[CarrierClient]:
    """The process, one per test session."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.carrier", "--account", ACCOUNT, "--token", TOKEN, "--number", NUMBER],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield CarrierClient(json.loads(process.stdout.readline())["url"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def carrier(carrier_process: CarrierClient, settings: Any) -> CarrierClient:
    """The carrier, empty, and the product set to use it."""
    carrier_process.reset()
    settings.SMS_CHANNEL = "twilio"
    settings.SMS_BASE_URL = carrier_process.url
    settings.SMS_ACCOUNT, settings.SMS_TOKEN, settings.SMS_FROM = ACCOUNT, TOKEN, NUMBER
    settings.PUBLIC_BASE_URL = "http://localhost:1"
    settings.INSTALLATION = "live"
    return carrier_process
