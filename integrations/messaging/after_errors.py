"""What follows from how a hand-over ended: try again later, another way, a person, or ask the carrier."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from integrations.messaging import calls, failures, outage, probing
from integrations.messaging.gateway import (
    AddressBusy,
    AddressUnusable,
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    MessageRejected,
    MessagingError,
    OptedOut,
)
from scheduling.transitions import move
from waitlist.models import Message

Status = Message.Status


def take(message: Message, error: MessagingError) -> None:
    """Choose the next step by what the error says about it."""
    code = error.code
    if isinstance(error, CarrierBusy):
        _busy(message, error)
    elif isinstance(error, CarrierRefusesUs):
        shut(message, code, timezone.now() + probing.REFUSED_EVERY)
    elif isinstance(error, CarrierDown) and outage.is_known(message.channel):
        shut(message, code, timezone.now() + probing.DOWN_EVERY)
    elif isinstance(error, AddressBusy | CarrierDown):
        _again(message, code, carrier_down=isinstance(error, CarrierDown))
    elif isinstance(error, AddressUnusable):
        failures.address_unusable(message, code)
    elif isinstance(error, OptedOut):
        failures.opted_out(message, code)
    elif isinstance(error, MessageRejected):
        failures.give_up(message, code)
    else:  # HandoverUnknown, and whatever a carrier may come to say besides
        _unknown(message, code)


def most_tries() -> int:
    """Return how often a message is tried before another way is taken."""
    return len(settings.MESSAGE_RETRY_SECONDS) + 1


def shut(message: Message, code: str, try_at: datetime, *, was_tried: bool = True) -> None:
    """The carrier refuses us or is down: another way at once; an answer that has none waits for it, the rest as ever.

    ``try_at``: when the carrier may be tried again. ``was_tried``: it was called for this very message.
    """
    if failures.go_round(message, code):
        return
    if failures.is_owed(message, timezone.now()):
        _later(message, try_at, code, max(message.attempts - was_tried, 0))
        return
    if not was_tried:
        message.attempts += 1
    _again(message, code, carrier_down=True, not_before=None if was_tried else try_at)


def _busy(message: Message, error: CarrierBusy) -> None:
    """It waits without a try being counted, unless the carrier has been busy for as long as all tries take."""
    since = calls.state_of(message.channel).failing_since or timezone.now()
    if since <= timezone.now() - timedelta(seconds=sum(settings.MESSAGE_RETRY_SECONDS)):
        message.attempts = most_tries()
        _again(message, error.code, carrier_down=True, not_before=error.retry_at)
    else:
        attempts = max(message.attempts - 1, 0)
        _later(message, error.retry_at or timezone.now() + calls.BUSY_WAIT, error.code, attempts)


def _again(message: Message, code: str, *, carrier_down: bool, not_before: datetime | None = None) -> None:
    """Try it again by the schedule, then another way; an answer that only this carrier can bring waits for it."""
    now = timezone.now()
    at, attempts = max(_next_try(message), not_before or now), message.attempts
    known_at = outage.known_at(message.channel, now) if carrier_down else None
    if known_at is not None:  # whether it is down: what can go another way does not wait for longer than that
        at = min(at, known_at)
    if attempts >= most_tries() and not (carrier_down and failures.is_owed(message, now)):
        failures.give_up(message, code, carrier_down=carrier_down)
        return
    _later(message, at, code, min(attempts, most_tries() - 1))


def _next_try(message: Message) -> datetime:
    schedule = settings.MESSAGE_RETRY_SECONDS
    return timezone.now() + timedelta(seconds=schedule[min(max(message.attempts, 1), len(schedule)) - 1])


def _later(message: Message, at: datetime, code: str, attempts: int) -> None:
    if message.status == Status.WAITING:  # never handed over
        mine = Message.objects.filter(pk=message.pk, status=Status.WAITING, due_at=message.due_at)
        mine.update(due_at=at, attempts=attempts, error_code=code[:60])
        return
    move(message, Status.WAITING, due_at=at, lease_until=None, attempts=attempts, error_code=code[:60])


def _unknown(message: Message, code: str) -> None:
    """It may have been sent. ``lease_until`` stays: it tells when the hand-over began."""
    move(message, Status.UNKNOWN, due_at=timezone.now() + timedelta(seconds=1), error_code=code[:60])
