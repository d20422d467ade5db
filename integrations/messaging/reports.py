"""What carriers report about messages they took."""

from __future__ import annotations

from django.utils import timezone

from audit.context import correlated
from integrations.messaging import failures
from integrations.messaging.delivery import mark_sent, reference_of
from integrations.messaging.gateway import LEASE, DeliveryReport
from scheduling.transitions import allows, move
from waitlist.models import Message

Status = Message.Status


def take_report(report: DeliveryReport) -> bool:
    """Take in what the carrier says became of a message; False when it is none of ours or no news.

    Reports come late, twice, out of order, and before the answer to the hand-over they are about.
    """
    message = _reported(report)
    if message is None:
        return False
    with correlated(message.correlation_id or None):
        _was_taken_all_the_same(message)
        if report.outcome == "under_way":
            return message.status in (Status.SENDING, Status.UNKNOWN) and mark_sent(message, report.carrier_id)
        if report.outcome == "delivered":
            is_news = _delivered(message, report)
            return failures.unwelcome(message, report.code) if report.trouble == "opted_out" else is_news
        return failures.take_report(message, report)


def _reported(report: DeliveryReport) -> Message | None:
    number, _, _ = report.reference.partition("-")
    if number.isdecimal() and len(number) < 19:
        message = (
            Message.objects.select_related("opening", "contact_point", "patient", "offer")
            .filter(pk=int(number))
            .first()
        )
        if message is not None and reference_of(message) == report.reference:
            return message
    rows = Message.objects.select_related("opening", "contact_point", "patient", "offer")
    return rows.filter(carrier_id=report.carrier_id).exclude(carrier_id="").first()


def _was_taken_all_the_same(message: Message) -> None:
    """A carrier reports only what it has: a message that was to be tried again, since it seemed lost, is not."""
    if message.status == Status.WAITING and message.attempts:
        move(message, Status.SENDING, lease_until=timezone.now() + LEASE)


def _delivered(message: Message, report: DeliveryReport) -> bool:
    if message.status in (Status.SENDING, Status.UNKNOWN):
        mark_sent(message, report.carrier_id)
    if not allows(Message, "status", message.status, Status.DELIVERED):
        return False
    return move(message, Status.DELIVERED, error_code="")
