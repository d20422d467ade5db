"""How fast messages leave: the carrier's rate per sender, and not too many to one person. Workers keep to it together.

A message takes the sender's next turn, and with it is its worker's own until that turn is over: no turn is lost to two
workers with the same message. Turns lie evenly at nine tenths of the rate, since the network bunches what left evenly.
Carriers count a text's segments, so a text of three takes as long as three texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations.messaging.gateway import LEASE, carrier_for
from integrations.models import CarrierState, SendingLimit
from waitlist import gsm7
from waitlist.models import Message

Status = Message.Status

#: The share of the carrier's rate that is used.
SHARE = 0.9
#: A worker sleeps until a turn that is no further away; the others find nothing due and do something else.
LEAST_PATIENCE = timedelta(milliseconds=250)
#: A text of so many segments never leaves a gap that nobody waits for, up to the time after which the sweep looks anew.
USUAL_SEGMENTS, SWEEP = 3, timedelta(seconds=1)
#: How long a message stays its worker's own after its turn. A worker that died costs that much, and nothing else.
GRACE = timedelta(seconds=3)


def limits() -> dict[str, SendingLimit]:
    """Return the limits by channel: what the practice set, else what the carrier is known to take."""
    usual = {channel: _usual(channel) for channel in SendingLimit.Channel.values}
    return usual | {row.channel: row for row in SendingLimit.objects.all()}


def out_of_turn(by_channel: Mapping[str, SendingLimit], now: datetime) -> list[str]:
    """Return the channels whose next turn is too far away to wait for."""
    rated = {channel: limit.per_second for channel, limit in by_channel.items() if limit.per_second}
    if not rated:
        return []
    states = CarrierState.objects.filter(channel__in=rated, next_at__gt=now).values_list("channel", "next_at")
    return [channel for channel, at in states if at is not None and at > now + _patience(rated[channel] or 1)]


def take_turn(message: Message) -> datetime | None:
    """Make the message this worker's own and return when it may leave; at once where there is no rate.

    None: the next turn is too far away, or another worker has the message. Nothing is changed then.
    """
    limit = _limit_of(message.channel)
    now = timezone.now()
    if not limit.per_second:
        return now
    with transaction.atomic():
        state = _locked(message.channel)
        turn = max(state.next_at or now, now)
        if turn > now + _patience(limit.per_second):
            return None
        mine = Message.objects.filter(pk=message.pk, status=Status.WAITING, due_at=message.due_at)
        if not mine.update(due_at=turn + GRACE):
            return None
        CarrierState.objects.filter(pk=state.pk).update(next_at=turn + _takes(message, limit.per_second))
    message.due_at = turn + GRACE
    return turn


def address_free_at(message: Message, now: datetime) -> datetime | None:
    """Return when this address may get another message; None for now.

    Call it in the transaction that leases the message: it keeps other workers from doing the same meanwhile.
    """
    if message.kind in Message.ALWAYS_LEAVE:
        return None
    limit = _limit_of(message.channel)
    _locked(message.channel)
    went = _went_to(message, now - timedelta(hours=1))
    spans = (
        (limit.per_address_minute, timedelta(minutes=1)),
        (limit.per_address_hour, timedelta(hours=1)),
    )
    free = [went[most - 1] + span for most, span in spans if len(went) >= most]
    return max((at for at in free if at > now), default=None)


def _went_to(message: Message, since: datetime) -> list[datetime]:
    """When messages went to the same address or were being handed over, newest first."""
    rows = Message.objects.filter(channel=message.channel, address_index=message.address_index).exclude(pk=message.pk)
    under_way = Q(status__in=(Status.SENDING, Status.UNKNOWN), lease_until__gt=since + LEASE)
    found = rows.filter(Q(sent_at__gt=since) | under_way).values_list("sent_at", "lease_until")
    moments = [sent or (until - LEASE if until else None) for sent, until in found]
    return sorted((at for at in moments if at is not None), reverse=True)


def _limit_of(channel: str) -> SendingLimit:
    return SendingLimit.objects.filter(channel=channel).first() or _usual(channel)


def _usual(channel: str) -> SendingLimit:
    return SendingLimit(channel=channel, per_second=carrier_for(channel).usual_rate)


def _locked(channel: str) -> CarrierState:
    rows = CarrierState.objects.select_for_update()
    state = rows.filter(channel=channel).first()
    if state is None:
        CarrierState.objects.get_or_create(channel=channel)
        state = rows.get(channel=channel)
    return state


def _interval(per_second: int) -> timedelta:
    return timedelta(microseconds=math.ceil(1_000_000 / (per_second * SHARE)))


def _takes(message: Message, per_second: int) -> timedelta:
    """How long the message keeps the sender from sending another."""
    return _interval(per_second) * (gsm7.segments(message.body) if message.channel == SendingLimit.Channel.SMS else 1)


def _patience(per_second: int) -> timedelta:
    """More than the time one message takes, so that there is always a worker who waits for the next turn."""
    interval = _interval(per_second)
    return max(LEAST_PATIENCE, interval * 1.5, min(interval * (USUAL_SEGMENTS + 0.5), SWEEP))
