"""Writes the context into django-auditlog's entries, in requests, workers and threads alike.

django-auditlog's own ``set_actor`` reaches one level of one thread. Here a single receiver asks `audit.context` at the
moment an entry is saved.
"""

from typing import Any

from auditlog.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password

from audit import context
from audit.context import Actor, ActorKind

SERVICE_PREFIX = "service:"


def stamp_before_saving(sender: type[LogEntry], instance: LogEntry, raw: bool = False, **_: Any) -> None:
    """Receiver of ``pre_save``."""
    if not raw and instance._state.adding:
        stamp(instance)


def stamp(entry: LogEntry) -> LogEntry:
    """Fills actor, correlation id, address and reason where the entry has none yet."""
    actor = context.current_actor()
    if entry.actor_id is None:
        entry.actor_id = _user_id(actor)
    entry.cid = entry.cid or context.correlation_id() or None
    entry.remote_addr = entry.remote_addr or context.source_address()
    data = dict(entry.additional_data or {})
    # The name beside the foreign key: patients and the system have no user row.
    data.setdefault("actor", {"kind": str(actor.kind), "name": actor.name})
    if context.reason():
        data.setdefault("reason", context.reason())
    entry.additional_data = data
    return entry


def _user_id(actor: Actor) -> int | None:
    if actor.kind == ActorKind.SERVICE:
        return _service_account_id(actor.name)
    return actor.user_id


def _service_account_id(name: str) -> int:
    """The user row of a service: inactive, without password, created on first use.

    Remembered for one run of the service only, and not in the run that made it, as that may yet be rolled back.
    """
    frame = context.current_frame()
    if frame and frame.user_id is not None:
        return frame.user_id
    users = get_user_model()._default_manager
    username = (SERVICE_PREFIX + name)[:150]
    found = users.filter(username=username).values_list("pk", flat=True).first()
    if found is not None:
        if frame and not frame.has_made_account:
            frame.user_id = found
        return found
    if frame:
        frame.has_made_account = True
    account, _ = users.get_or_create(username=username, defaults={"is_active": False, "password": make_password(None)})
    return account.pk
