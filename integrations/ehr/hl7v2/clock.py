"""Which message about a patient or a visit is the newest: by when it was made, not by when it came."""

from __future__ import annotations

from datetime import datetime

from integrations.models import Connection, MessageClock


def is_newest(connection: Connection, subject: str, sent_at: datetime) -> bool:
    """Return whether no message was taken over that was made later."""
    return not MessageClock.objects.filter(connection=connection, subject_key=subject, sent_at__gt=sent_at).exists()


def advance(connection: Connection, subject: str, sent_at: datetime) -> bool:
    """Take a message as the newest one; False when a newer one was. In a transaction others wait until it ends."""
    row, created = MessageClock.objects.get_or_create(
        connection=connection, subject_key=subject, defaults={"sent_at": sent_at}
    )
    return created or bool(MessageClock.objects.filter(pk=row.pk, sent_at__lte=sent_at).update(sent_at=sent_at))
