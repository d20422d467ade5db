"""The Celery application. Rows in the database carry the work; a task only starts the next step sooner."""

import os
from typing import Any

from celery import Celery, signals
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("config")
# Connections are recycled below, by their age and health; a count of tasks would not notice a restarted database.
app.conf["CELERY_DB_REUSE_MAX"] = 2**31
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Being connected is enough: Celery then leaves the handlers alone that mask tokens and patient data."""


@signals.task_prerun.connect
@signals.task_postrun.connect
def recycle_connections(sender: Any = None, **_: Any) -> None:
    """Treat a task like a request: a database connection lives as long as CONN_MAX_AGE says, and only while healthy.

    Celery by itself opens a new one for each task, which costs more than most tasks do.
    """
    if not sender.request.is_eager:
        close_old_connections()
