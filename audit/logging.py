"""Adds the context to log records: ``%(correlation_id)s`` and ``%(actor)s``."""

import logging

from audit import context


class ContextFilter(logging.Filter):
    """Never drops a record and never causes a query."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = context.correlation_id() or "-"
        record.actor = context.known_actor().name
        return True
