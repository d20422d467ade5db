"""Options of the database and the broker that come from measurement, not from the installation."""

from typing import Any

from config.environment import Environment


def tuned_database(settings: Environment) -> dict[str, Any]:
    """Django's database settings with the options that many threads and processes at once need."""
    database = dict(settings.database)
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            # A transaction that reads first and writes later would otherwise fail instead of waiting its turn.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        return database
    limit = settings.statement_timeout_milliseconds
    database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    database["OPTIONS"] = {
        **database.get("OPTIONS", {}),
        "connect_timeout": 5,
        # Compiling a query costs ten times what it saves on the ones here.
        "options": f"-c statement_timeout={limit} -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"
        " -c jit=off",
    }
    return database


def broker_options(broker_url: str) -> dict[str, Any]:
    """Transport options for kombu, in seconds: short enough that a silent broker holds nobody up."""
    if broker_url.startswith("memory:"):
        return {"polling_interval": 0.05}
    if broker_url.startswith(("redis:", "rediss:")):
        # One attempt to publish, not kombu's own series of them; workers keep reconnecting by Celery's settings.
        once = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
        return {"visibility_timeout": 3600, "socket_connect_timeout": 0.2, "socket_timeout": 1.0, **once}
    return {"connect_timeout": 1, "read_timeout": 5, "write_timeout": 1}
