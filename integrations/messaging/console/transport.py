"""The carrier of trials: nothing leaves the building, the message's own row is the phone and the mailbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from integrations.messaging.gateway import Incoming, Outgoing


class ConsoleCarrier:
    """Takes every message and keeps it where it is; the Sandbox page shows what would have been sent."""

    name = "console"
    leaves_the_building = False
    can_be_asked = True
    usual_rate: int | None = None

    def send(self, message: Outgoing) -> str:
        """Return the id under which the message is kept."""
        return f"console-{message.reference}"

    def find(self, message: Outgoing, *, sent_after: datetime, known: frozenset[str]) -> str | None:
        """Return None: what was not recorded as sent was seen by nobody."""
        return None

    def incoming_since(self, since: datetime) -> Iterator[Incoming]:
        """Yield nothing: an answer given on the Sandbox page is stored at once."""
        return iter(())


def open_carrier(channel: str) -> ConsoleCarrier:
    """Return the console carrier, the same for every channel."""
    return ConsoleCarrier()
