"""Which message about a patient or a visit is the newest: by when it was made, not by when it came.

Of a patient that is asked detail by detail: a message that says little must not keep an earlier one, which says more
and comes late, from being heard about the rest.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from integrations.models import Connection, MessageClock

#: Stands for every detail: of messages that were taken over before details were told apart.
_ALL = "*"


def advance(connection: Connection, subject: str, sent_at: datetime) -> bool:
    """Take a message as the newest one; False when a newer one was. In a transaction others wait until it ends."""
    row, created = MessageClock.objects.get_or_create(
        connection=connection, subject_key=subject, defaults={"sent_at": sent_at}
    )
    return created or bool(MessageClock.objects.filter(pk=row.pk, sent_at__lte=sent_at).update(sent_at=sent_at))


def overtaken(connection: Connection, subject: str, sent_at: datetime, details: Collection[str]) -> frozenset[str]:
    """Return those of the details that a message told which was made later and was taken over."""
    row = MessageClock.objects.filter(connection=connection, subject_key=subject).first()
    return _later(row, sent_at, details) if row is not None else frozenset()


def advance_details(
    connection: Connection, subject: str, sent_at: datetime, details: Collection[str]
) -> frozenset[str]:
    """Take a message as the newest one of the details that it tells, and return those that a later one told.

    In a transaction others wait until it ends.
    """
    told = dict.fromkeys(details, sent_at.isoformat())
    row, created = MessageClock.objects.get_or_create(
        connection=connection, subject_key=subject, defaults={"sent_at": sent_at, "details": told}
    )
    if created:
        return frozenset()
    row = MessageClock.objects.select_for_update().get(pk=row.pk)
    later = _later(row, sent_at, details)
    row.details = {**_times(row), **{name: at for name, at in told.items() if name not in later}}
    row.sent_at = max(row.sent_at, sent_at)
    row.save(update_fields=["details", "sent_at"])
    return later


def _times(row: MessageClock) -> dict[str, str]:
    return {_ALL: row.sent_at.isoformat()} if row.details is None else row.details


def _later(row: MessageClock, sent_at: datetime, details: Collection[str]) -> frozenset[str]:
    times = _times(row)
    told = {name: times.get(name, times.get(_ALL)) for name in details}
    return frozenset(name for name, at in told.items() if at is not None and datetime.fromisoformat(at) > sent_at)
