"""Calls to outside systems: none inside a transaction; of each who made it, when, how long it took, how it ended."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import DatabaseError, connections

from audit.context import correlation_id, current_actor
from integrations.models import ApiCall

logger = logging.getLogger(__name__)


def refuse_inside_transaction() -> None:
    """Raise RuntimeError inside a transaction: whoever answers slowly would hold our locks."""
    # The transaction a test case wraps itself in is marked by Django and is nobody's business transaction.
    blocks = connections["default"].atomic_blocks
    if any(not getattr(block, "_from_testcase", False) for block in blocks):
        raise RuntimeError("No call to an outside system inside a database transaction.")


def record(
    *,
    system: str,
    method: str,
    resource: str,
    at: datetime,
    seconds: float,
    result: str,
    status: int | None = None,
    connection_id: int | None = None,
    writeback_id: int | None = None,
) -> None:
    """Store one finished call. ``resource`` is a path without its query; ``result`` is ok or an error's code.

    Never raises for the database's sake: the answer that was just received is worth more than its record.
    """
    try:
        ApiCall.objects.create(
            connection_id=connection_id,
            system=system,
            at=at,
            actor=current_actor().name[:150],
            method=method,
            resource=resource.partition("?")[0][:120],
            status=status,
            duration_ms=max(round(seconds * 1000), 0),
            result=result[:60],
            correlation_id=correlation_id(),
            writeback_id=writeback_id,
        )
    except DatabaseError as error:
        logger.error("a call to %s was not recorded: %s", system, type(error).__name__)
