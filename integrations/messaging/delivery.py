"""Handing messages to carriers, each once, and only while they may still be sent.

The row is leased and ``sending`` is committed before the carrier is called, outside any transaction. An answer that
was lost, or a worker that died in between, leaves *unknown*: the carrier is asked, and where it cannot be asked a
person decides. Nothing is sent twice on a guess.
"""

from __future__ import annotations

import hashlib
import logging
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Q, Value, When
from django.utils import timezone

from audit.context import correlated
from integrations.messaging import after_errors, calls, failures, outage, pace, probing, recipients
from integrations.messaging.gateway import (
    CALL_SECONDS,
    LEASE,
    Carrier,
    MessagingError,
    Outgoing,
    carrier_for,
)
from scheduling import practice
from scheduling.story import tell
from scheduling.transitions import move
from waitlist import messages, unsubscribing, why_not_sent
from waitlist.models import Message

logger = logging.getLogger(__name__)

Status = Message.Status

#: How long after a hand-over's deadline the carrier's list may still lack the message.
SETTLE = timedelta(seconds=10)
#: "Call 911" goes first, then what a patient waits for, then news of what is over, then what is new; offers in the
#: order of their rank.
URGENCY = Case(
    When(kind=Message.Kind.URGENT, then=Value(-1)),
    When(initiated=False, then=Value(0)),
    When(kind__in=(Message.Kind.OFFER, Message.Kind.STILL_WANTED), then=Value(2)),
    default=Value(1),
)
#: Where turns are waited for, few are taken up at once, so that what is urgent need not wait for many.
FEW = 4


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of messages to take up now. While everything is paused, what we start stays where it is."""
    now = now or timezone.now()
    rows = Message.objects.filter(
        Q(status__in=(Status.WAITING, Status.UNKNOWN), due_at__lte=now) | Q(status=Status.SENDING, lease_until__lte=now)
    )
    quiet = calls.quiet_channels(now)
    if quiet:
        rows = rows.exclude(channel__in=quiet)
    set_limits = pace.limits()
    out_of_turn = pace.out_of_turn(set_limits, now)
    if out_of_turn:
        rows = rows.exclude(channel__in=out_of_turn, status=Status.WAITING)
    if practice.is_paused():
        rows = rows.exclude(status=Status.WAITING, initiated=True)
    if any(each.per_second for each in set_limits.values()):
        limit = min(limit, FEW)
    return list(rows.order_by(URGENCY, "due_at", "pk").values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


def send(message_id: int, now: datetime | None = None) -> bool:
    """Take up one due message; False when another worker has it, or it is not due."""
    now = now or timezone.now()
    message = _load(message_id)
    with correlated(message.correlation_id or None):
        try:
            return _take_up(message, now)
        except Exception as error:
            # A fault of ours: what may have been sent is asked for, the tries are counted, the others go on.
            logger.exception("message %s failed: %s", message_id, type(error).__name__)
            return failures.stumbled(message_id, after_errors.most_tries())


def _load(message_id: int) -> Message:
    return Message.objects.select_related("opening", "contact_point", "patient", "offer").get(pk=message_id)


def _take_up(message: Message, now: datetime) -> bool:
    if message.status == Status.SENDING:
        lapsed = Q(lease_until__lte=now)
        if not move(message, Status.UNKNOWN, where=lapsed, due_at=now, error_code="worker_lost"):
            return False
    if message.due_at > now:
        return False
    if message.status == Status.UNKNOWN:
        return _resolve(message, now)
    return message.status == Status.WAITING and _send_if_allowed(message, now)


def reference_of(message: Message) -> str:
    """Return what carriers know the message by: its number and a check that a stranger's number does not pass."""
    return f"{message.pk}-{hashlib.sha256(message.dedupe_key.encode()).hexdigest()[:16]}"


def _send_if_allowed(message: Message, now: datetime) -> bool:
    """Look once more whether it may be sent, at the last moment, then hand it over."""
    carrier = carrier_for(message.channel)
    if not _is_allowed(message, carrier, now):
        return True
    if not carrier.leaves_the_building:
        return _keep_here(message, carrier, now)
    try_at = probing.next_try(message.channel, now)
    if try_at is not None:
        after_errors.shut(message, calls.state_of(message.channel).last_error, try_at, was_tried=False)
        return True
    turn = pace.take_turn(message)
    if turn is None:
        return False
    wait = (turn - timezone.now()).total_seconds()
    if wait > 0:
        time.sleep(wait)
        # What became true meanwhile, such as a STOP, counts.
        owned_until, message = message.due_at, _load(message.pk)
        if message.status != Status.WAITING or message.due_at != owned_until:
            return False
        now = timezone.now()
        if not _is_allowed(message, carrier, now):
            return True
    return _hand_over(message, carrier, now)


def _is_allowed(message: Message, carrier: Carrier, now: datetime) -> bool:
    """Return whether it may leave now; where it may not, what follows from that is done."""
    decision = messages.may_send(message, now)
    if decision.action == "wait" and decision.until is not None:
        _wait(message, decision.until)
    elif decision.action == "suppress":
        _suppress(message, decision.reason)
    elif carrier.leaves_the_building and not recipients.may_be_reached(message.address):
        _suppress(message, "test_installation")
    elif message.attempts >= after_errors.most_tries():
        failures.give_up(message, message.error_code or "tries_used_up")
    else:
        return True
    return False


def _wait(message: Message, until: datetime) -> bool:
    rows = Message.objects.filter(pk=message.pk, status=Status.WAITING, due_at=message.due_at)
    return bool(rows.update(due_at=until))


def _suppress(message: Message, reason: str) -> bool:
    with transaction.atomic():
        suppressed = move(message, Status.SUPPRESSED, error_code=reason[:60])
        if suppressed:
            why = why_not_sent.say(reason)
            tell(message.opening, "message.suppressed", f"A message was not sent: {why}.", message_id=message.pk)
            failures.not_told(message, reason)
    return suppressed


def _keep_here(message: Message, carrier: Carrier, now: datetime) -> bool:
    """The message stays in this database, so sending it is one transaction and no answer can be lost."""
    with transaction.atomic():
        sending = move(message, Status.SENDING, where=Q(due_at__lte=now), attempts=message.attempts + 1)
        return sending and mark_sent(message, carrier.send(_outgoing(message)))


def _hand_over(message: Message, carrier: Carrier, now: datetime) -> bool:
    with transaction.atomic():
        free_at = pace.address_free_at(message, now)
        if free_at is not None:
            return _wait(message, free_at)
        leased = move(
            message,
            Status.SENDING,
            where=Q(due_at=message.due_at),
            lease_until=now + LEASE,
            attempts=message.attempts + 1,
        )
    if not leased:
        return False
    try:
        with calls.recorded(message.channel, "SEND", f"message/{message.pk}"):
            carrier_id = carrier.send(_outgoing(message))
    except MessagingError as error:
        after_errors.take(message, error)
    else:
        mark_sent(message, carrier_id)
    return True


def _outgoing(message: Message) -> Outgoing:
    return Outgoing(
        reference=reference_of(message),
        channel="sms" if message.channel == "sms" else "email",
        address=message.address,
        body=message.body,
        subject=message.subject,
        attachment=message.attachment,
        unsubscribe=unsubscribing.address_for(message),
    )


def mark_sent(message: Message, carrier_id: str) -> bool:
    """The carrier has it; False when that was known before."""
    with transaction.atomic():
        moved = move(
            message,
            Status.SENT,
            sent_at=timezone.now(),
            carrier_id=carrier_id[:120],
            lease_until=None,
            error_code="",
        )
        if moved:
            by = "Text" if message.channel == "sms" else "E-mail"
            kind = Message.Kind(message.kind).label
            tell(
                message.opening, "message.sent", f"{by} sent: {kind}.", message_id=message.pk, offer_id=message.offer_id
            )
    return moved


def _handed_over_at(message: Message) -> datetime:
    return (message.lease_until or timezone.now()) - LEASE


def _resolve(message: Message, now: datetime) -> bool:
    """Find out whether a message whose answer was lost was taken by the carrier."""
    carrier = carrier_for(message.channel)
    if not carrier.can_be_asked:
        return failures.cannot_tell(message)
    if outage.is_known(message.channel):
        try_at = probing.next_try(message.channel, now)
        if try_at is not None:
            return _still_unknown(message, try_at, now)
    # The due time is the lease of the asking: whoever moves it asks.
    mine = Message.objects.filter(pk=message.pk, status=Status.UNKNOWN, due_at=message.due_at)
    if not mine.update(due_at=now + LEASE):
        return False
    known = _carrier_ids_of_others(message)
    try:
        with calls.recorded(message.channel, "FIND", f"message/{message.pk}"):
            found = carrier.find(_outgoing(message), sent_after=_handed_over_at(message), known=known)
    except MessagingError:
        return _still_unknown(message, timezone.now() + calls.DOWN_WAIT, timezone.now())
    if found is not None:
        outage.found_taken(message.channel, timezone.now())
        return mark_sent(message, found)
    return _absent(message, now)


def _still_unknown(message: Message, ask_at: datetime, now: datetime) -> bool:
    """The carrier cannot be asked just now; what must be heard does not wait for it any longer than for all tries."""
    Message.objects.filter(pk=message.pk, status=Status.UNKNOWN).update(due_at=ask_at)
    if probing.is_shut(message.channel):
        failures.tell_of_offer_otherwise(message)
    if _handed_over_at(message) + timedelta(seconds=sum(settings.MESSAGE_RETRY_SECONDS)) <= now:
        failures.stays_unknown(message)
    return True


def _carrier_ids_of_others(message: Message) -> frozenset[str]:
    rows = Message.objects.filter(address_index=message.address_index).exclude(pk=message.pk).exclude(carrier_id="")
    return frozenset(rows.order_by("-pk").values_list("carrier_id", flat=True)[:200])


def _absent(message: Message, now: datetime) -> bool:
    """The carrier does not have it: believed only when it has had time to show it."""
    proven_at = _handed_over_at(message) + timedelta(seconds=CALL_SECONDS) + SETTLE
    if now < proven_at:
        Message.objects.filter(pk=message.pk, status=Status.UNKNOWN).update(due_at=proven_at)
        return True
    if failures.was_left_to_staff(message):
        return True
    if probing.is_shut(message.channel) and failures.go_round(message, message.error_code):
        return True
    return move(message, Status.WAITING, due_at=now, lease_until=None)
