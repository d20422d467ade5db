"""Who may call a webhook, remembered for a moment: an EHR in a hurry would otherwise be looked up for every event."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from integrations.models import Connection

#: How long another process may still accept a secret that was just taken away.
SECONDS = 2.0
#: Only slugs that exist are remembered, and no practice has this many EHRs.
MOST = 200

#: What a call is verified by, by what an HL7 v2 message is known again, and what says when an event is dealt with.
_NEEDED = (
    *("slug", "kind", "webhook_secrets", "webhook_proof", "webhook_senders"),
    *("message_charset", "mrn_authority", "appointment_number", "appointment_system"),
    *("source", "appointment_pace", "patient_pace", "directory_pace", "batch_minutes"),
)

_known: dict[str, tuple[float, Connection]] = {}
_lock = threading.Lock()


def sender(slug: str) -> Connection | None:
    """Return the connection of a webhook's address with its secrets, None when there is none.

    The rest of it is deferred; its secrets are up to :data:`SECONDS` old.
    """
    held = _known.get(slug)
    if held is not None and time.monotonic() < held[0]:
        return held[1]
    connection = Connection.objects.only(*_NEEDED).filter(slug=slug).first()
    with _lock:
        if connection is None:
            _known.pop(slug, None)
        elif len(_known) < MOST or slug in _known:
            _known[slug] = (time.monotonic() + SECONDS, connection)
    return connection


def forget() -> None:
    """Look everybody up anew."""
    with _lock:
        _known.clear()


@receiver((post_save, post_delete), sender=Connection, dispatch_uid="known_senders")
def _forget_changed(**_: Any) -> None:
    forget()
