"""Mail servers call nobody: there is nothing to verify and nothing to read."""

from __future__ import annotations

from django.http import HttpRequest

from integrations.messaging.gateway import DeliveryReport, Incoming


def is_genuine(request: HttpRequest) -> bool:
    """Return False: no call of this kind is expected."""
    return False


def read_incoming(request: HttpRequest) -> Incoming | None:
    """Return None."""
    return None


def read_report(request: HttpRequest) -> DeliveryReport | None:
    """Return None."""
    return None
