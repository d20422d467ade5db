"""A record of every call to a carrier, and how the carrier fares. No address, no text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from integrations.calls import record
from integrations.messaging import outage, refusal
from integrations.messaging.gateway import (
    CarrierBusy,
    CarrierDown,
    CarrierRefusesUs,
    HandoverUnknown,
    MessagingError,
)
from integrations.models import CarrierState

#: After a call that found the carrier down, nobody calls it for so long.
DOWN_WAIT = timedelta(seconds=5)
#: Who asks for patience without saying how long is left alone for as long as that has lasted, within these bounds.
BUSY_WAIT = timedelta(seconds=2)
LONGEST_BUSY_WAIT = timedelta(seconds=60)
#: How stale ``last_success_at`` may be: a write per message would cost more than it tells.
NOTED_EVERY = timedelta(seconds=30)


@contextmanager
def recorded(channel: str, method: str, resource: str) -> Iterator[None]:
    """Record the call made inside, whatever it ends with, and note what it says about the carrier."""
    at, began, result = timezone.now(), time.monotonic(), "ok"
    try:
        yield
    except MessagingError as error:
        result = type(error).__name__
        _note_trouble(channel, error, is_message=method == "SEND")
        raise
    except Exception as error:
        # A fault of ours is in the record of calls as well, and goes on to whoever deals with it.
        result = type(error).__name__
        raise
    else:
        _note_success(channel, is_message=method == "SEND")
    finally:
        record(
            system=channel,
            method=method,
            resource=resource,
            at=at,
            seconds=time.monotonic() - began,
            result=result,
        )


def quiet_channels(now: datetime) -> list[str]:
    """Return the channels whose carrier is not to be called now."""
    return list(CarrierState.objects.filter(quiet_until__gt=now).values_list("channel", flat=True))


def state_of(channel: str) -> CarrierState:
    """Return how a channel's carrier fares, noted from its first call on."""
    return CarrierState.objects.get_or_create(channel=channel)[0]


def _note_success(channel: str, *, is_message: bool) -> None:
    now, state = timezone.now(), state_of(channel)
    is_still_failing = outage.says_nothing(state, now, is_message=is_message)
    if state.failures and not is_still_failing:
        outage.answered(channel, now)
    if state.refused_since is not None and not refusal.taken(channel, is_message=is_message, now=now):
        return
    if is_still_failing:
        return
    is_fresh = state.last_success_at is not None and state.last_success_at >= now - NOTED_EVERY
    if is_fresh and state.failing_since is None:
        return
    CarrierState.objects.filter(pk=state.pk).update(last_success_at=now, failing_since=None, last_error="")


def _note_trouble(channel: str, error: MessagingError, *, is_message: bool) -> None:
    """Only what concerns the carrier as a whole holds up the others; a bad number is that message's own affair."""
    now, state = timezone.now(), state_of(channel)
    rows = CarrierState.objects.filter(channel=channel)
    is_down = isinstance(error, CarrierDown | HandoverUnknown)
    is_still_failing = is_down or outage.says_nothing(state, now, is_message=is_message)
    if isinstance(error, CarrierBusy | CarrierDown | CarrierRefusesUs | HandoverUnknown):
        rows.update(failing_since=Coalesce("failing_since", now), last_error=error.code[:60])
    elif not is_still_failing:
        rows.filter(refused_since=None).update(failing_since=None)
    if is_down:
        outage.failed(channel, now, is_message=is_message)
    elif state.failures and not is_still_failing:
        outage.answered(channel, now)
    if isinstance(error, CarrierRefusesUs):
        refusal.begin(channel, is_message=is_message, now=now)
    if isinstance(error, CarrierBusy):
        until = error.retry_at or now + _patience(rows.values_list("failing_since", flat=True).get() or now, now)
    elif isinstance(error, CarrierDown):
        until = now + DOWN_WAIT
    else:
        return
    later = Q(quiet_until__isnull=True) | Q(quiet_until__lt=until)
    rows.filter(later).update(quiet_until=until)


def _patience(since: datetime, now: datetime) -> timedelta:
    return min(max(now - since, BUSY_WAIT), LONGEST_BUSY_WAIT)
