"""Who a test installation writes to: those on its list, however their address is written, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.messaging.recipients import may_be_reached


@pytest.mark.parametrize(
    ("address", "is_reached"),
    [
        ("+12125550188", True),
        ("+12125550189", False),
        ("dana@example.org", True),
        (" DANA@Example.org", True),
        ("robin@example.org", False),
    ],
)
def test_a_test_installation_writes_to_its_own_list_only(settings: Any, address: str, is_reached: bool) -> None:
    settings.INSTALLATION, settings.TEST_RECIPIENTS = "test", ["(212) 555-0188", "Dana@example.org"]
    assert may_be_reached(address) is is_reached
    settings.INSTALLATION = "live"
    assert may_be_reached(address)
