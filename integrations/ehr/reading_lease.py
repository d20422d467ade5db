"""One worker at a time reads a connection from end to end. The lease of one that died runs out by itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from integrations.models import Connection

#: Longer than the longest call that reads a page, a second login included.
LEASE = timedelta(minutes=5)
#: A lease that is younger than this is left as it is: an UPDATE per page would cost more than it tells.
RENEWED_EVERY = timedelta(seconds=30)


class AlreadyRunning(RuntimeError):
    """Another worker loads or polls this connection."""


class ReadingLease:
    """The right to read a connection, held until it is released or runs out."""

    def __init__(self, connection_id: int, until: datetime) -> None:
        self._connection_id = connection_id
        self._until = until

    @classmethod
    def take(cls, connection_id: int, now: datetime | None = None) -> ReadingLease | None:
        """Become the only one who reads this connection; None when somebody else does."""
        now = now or timezone.now()
        until = now + LEASE
        free = Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now)
        taken = Connection.objects.filter(free, pk=connection_id).update(poll_lease_until=until)
        return cls(connection_id, until) if taken else None

    def keep(self, **columns: Any) -> None:
        """Say that the reading goes on, and store ``columns`` of the connection with it.

        Raises AlreadyRunning when the lease ran out and another worker has it now: what follows is theirs.
        """
        until = timezone.now() + LEASE
        if not columns and until - self._until < RENEWED_EVERY:
            return
        if not self._held().update(poll_lease_until=until, **columns):
            raise AlreadyRunning("The reading took so long that another worker has taken it over.")
        self._until = until

    def release(self, **columns: Any) -> None:
        """Let others read, and store ``columns``; does nothing when another worker has the lease."""
        self._held().update(poll_lease_until=None, **columns)

    def _held(self) -> Any:
        return Connection.objects.filter(pk=self._connection_id, poll_lease_until=self._until)
