"""What the audit trail notices by itself: signing in and out, deletion of users, rebuilt tables."""

from typing import Any

from auditlog.models import LogEntry
from django.db import connections
from django.db.models import Model, ProtectedError

from audit import append_only, log
from audit.context import Actor, acting_as
from audit.models import AccessRecord


def record_login(sender: Any, user: Any, **_: Any) -> None:
    with acting_as(Actor.for_user(user)):
        log.record(AccessRecord.Action.LOGIN, subject=user)


def record_logout(sender: Any, user: Any, **_: Any) -> None:
    if user is not None:
        with acting_as(Actor.for_user(user)):
            log.record(AccessRecord.Action.LOGOUT, subject=user)


def record_failed_login(sender: Any, **_: Any) -> None:
    # Without the name that was tried: people type passwords, and patients their own names, into that box.
    log.record(AccessRecord.Action.LOGIN, result=AccessRecord.Result.FAILED)


def keep_audited_user(sender: Any, instance: Model, **_: Any) -> None:
    """Deleting would blank the user in the log, which the database refuses; this says so in words."""
    if LogEntry.objects.filter(actor_id=instance.pk).exists():
        raise ProtectedError(
            "This user appears in the audit trail and was not deleted. Clear 'Active' to end their access.", {instance}
        )


def restore_triggers(using: str, **_: Any) -> None:
    append_only.install(connections[using])
