"""Who acts, for which chain of events, from where and why: known to every line that runs, in requests and in workers.

Each thread starts empty (the actor is then "system") and sets its own. All context managers nest, restore the outer
value and work as decorators::

    @service("worker: outbox")
    def drain() -> None: ...
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.models import TextChoices


class ActorKind(TextChoices):
    USER = "user", "Staff"
    PATIENT = "patient", "Patient"
    SERVICE = "service", "Service"
    SYSTEM = "system", "System"
    ANONYMOUS = "anonymous", "Nobody signed in"


@dataclass(frozen=True)
class Actor:
    """Somebody who acts. ``name`` holds no health information: a user name, a service, or a patient's id."""

    kind: ActorKind
    name: str
    user_id: int | None = None

    @classmethod
    def for_user(cls, user: Any) -> "Actor":
        """The actor for a Django user, signed in or anonymous."""
        if user is None or not user.is_authenticated:
            return ANONYMOUS
        return cls(ActorKind.USER, user.get_username(), user.pk)

    @classmethod
    def for_patient(cls, patient_id: int) -> "Actor":
        return cls(ActorKind.PATIENT, f"patient {patient_id}")

    @classmethod
    def for_service(cls, name: str) -> "Actor":
        return cls(ActorKind.SERVICE, name)


SYSTEM = Actor(ActorKind.SYSTEM, "system")
ANONYMOUS = Actor(ActorKind.ANONYMOUS, "anonymous")


class Frame:
    """One level of the nesting, which remembers the user row of a service's account."""

    def __init__(self, find: Callable[[], Actor], peek: Callable[[], Actor]) -> None:
        self.find = find
        self.peek = peek
        self.user_id: int | None = None
        self.has_made_account = False


_frame: ContextVar[Frame | None] = ContextVar("audit_actor", default=None)
_correlation_id: ContextVar[str] = ContextVar("audit_correlation_id", default="")
_source_address: ContextVar[str | None] = ContextVar("audit_source_address", default=None)
_reason: ContextVar[str] = ContextVar("audit_reason", default="")


def current_actor() -> Actor:
    """The innermost actor. Inside a request this may read the session, and so the database."""
    frame = _frame.get()
    return frame.find() if frame else SYSTEM


def known_actor() -> Actor:
    """The innermost actor as far as it is known without any query: for log lines, which a query may itself cause."""
    frame = _frame.get()
    return frame.peek() if frame else SYSTEM


def current_frame() -> Frame | None:
    return _frame.get()


def correlation_id() -> str:
    """32 hex digits shared by everything that one request or event caused, or "" outside of any."""
    return _correlation_id.get()


def source_address() -> str | None:
    """The IP address of the request's sender, or None outside of a request."""
    return _source_address.get()


def reason() -> str:
    """Why the actor does it, where a person or a rule gave a reason."""
    return _reason.get()


def new_correlation_id() -> str:
    return uuid.uuid4().hex


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[Any]:
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


@contextmanager
def acting_as(actor: Actor) -> Iterator[Actor]:
    """Everything inside is done by this actor."""
    with _set(_frame, Frame(lambda: actor, lambda: actor)):
        yield actor


@contextmanager
def acting_as_found(find: Callable[[], Actor], peek: Callable[[], Actor]) -> Iterator[None]:
    """Like `acting_as`, for an actor who is only looked up when something is recorded.

    ``peek`` gives what is known without a query.
    """
    with _set(_frame, Frame(find, peek)):
        yield


@contextmanager
def service(name: str) -> Iterator[Actor]:
    """Everything inside is done by the service account of that name, e.g. ``"worker: outbox"``."""
    with acting_as(Actor.for_service(name)) as actor:
        yield actor


@contextmanager
def correlated(identifier: str | None = None) -> Iterator[str]:
    """Everything inside belongs to this chain of events; without an identifier, to a new one."""
    with _set(_correlation_id, identifier or new_correlation_id()) as value:
        yield value


@contextmanager
def coming_from(address: str | None) -> Iterator[str | None]:
    """Everything inside was asked for from this IP address."""
    with _set(_source_address, address) as value:
        yield value


@contextmanager
def because(text: str) -> Iterator[str]:
    """Gives the reason for everything inside. It must hold no health information."""
    with _set(_reason, text) as value:
        yield value
