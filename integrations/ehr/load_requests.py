"""Loads that somebody asked for: a due time on the connection, taken up by a worker and kept until it is complete."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from integrations.ehr import load, outage
from integrations.ehr.gateway import GatewayError, LoginRefused
from integrations.models import Connection
from scheduling.wake import wake

logger = logging.getLogger(__name__)

#: A load that failed by a fault of ours is begun again after this.
AFTER_A_FAULT = timedelta(minutes=5)


def ask(connection: Connection, now: datetime | None = None) -> None:
    """Have the connection loaded soon; asking twice is asking once."""
    Connection.objects.filter(pk=connection.pk).update(load_due_at=now or timezone.now())
    wake("loads")


def due(now: datetime | None = None, limit: int = 5) -> list[int]:
    """Return the ids of connections to load now; none that somebody reads already, none whose login is refused."""
    return list(_rows(now or timezone.now()).order_by("load_due_at").values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


def take_up(connection_id: int) -> bool:
    """Load one connection; False when another worker reads it. What fails is begun again when the EHR may answer.

    A refused login waits for the person who asked: trying it over and over gets a client locked out.
    """
    asked_at = Connection.objects.values_list("load_due_at", flat=True).get(pk=connection_id)
    try:
        load.load(connection_id)
    except load.AlreadyRunning:
        return False
    except LoginRefused:
        logger.warning("the load of connection %s was refused", connection_id)
    except GatewayError as error:
        connection = Connection.objects.get(pk=connection_id)
        logger.warning("the load of connection %s ended early: %s", connection.slug, error.code)
        Connection.objects.filter(pk=connection_id).update(load_due_at=outage.ask_again_at(connection, error))
        return True
    except Exception:
        # A fault of ours, which whoever drains tells staff: begun anew at each sweep, it would keep the EHR busy.
        Connection.objects.filter(pk=connection_id).update(load_due_at=timezone.now() + AFTER_A_FAULT)
        raise
    # Whoever asked while it ran, since something had changed, asked for another one.
    Connection.objects.filter(pk=connection_id, load_due_at=asked_at).update(load_due_at=None)
    return True


def _rows(now: datetime) -> QuerySet[Connection]:
    unread = Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now)
    return Connection.objects.filter(unread, load_due_at__lte=now).exclude(state=Connection.State.STOPPED)
