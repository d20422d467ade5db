"""E-mails and texts to staff about what cannot wait: every red work item, and whatever died or went silent.

A work item is the alert's cause and its only memory, so the same trouble is told once however often it is seen. The
message says what the item says, which names no patient, and where to look.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F, Q
from django.utils import timezone

from audit.log import record_change
from integrations.messaging import recipients
from integrations.messaging.gateway import (
    AddressUnusable,
    HandoverUnknown,
    MessageRejected,
    MessagingError,
    OptedOut,
    Outgoing,
    carrier_for,
)
from integrations.models import AlertContact, StaffAlert
from scheduling.models import Practice, WorkItem
from scheduling.wake import wake

Channel = Literal["email", "sms"]
#: Trouble that is worth an e-mail although it is not red.
ALARMING = (
    Q(urgency=WorkItem.Urgency.RED)
    | Q(kind__endswith=".dead")
    | Q(kind__startswith="health.")
    | Q(kind__startswith="connection.")
)
#: Trouble of the machine rather than of a patient's booking.
TECHNICAL = ("health.", "connection.", "event.")
WAITS = (timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10), timedelta(hours=1))
#: Longer than one hand-over may take; renewed before each.
LEASE = timedelta(seconds=25)


def raise_alerts(now: datetime | None = None) -> int:
    """Make an alert for every open item that deserves one and has none; return how many."""
    now = now or timezone.now()
    items = WorkItem.objects.filter(ALARMING, status=WorkItem.Status.OPEN, alert__isnull=True)
    alerts = [StaffAlert(work_item=item, due_at=now) for item in items[:200]]
    # Two workers may see the same item: the one-to-one decides, and the second finds nothing to add.
    StaffAlert.objects.bulk_create(alerts, ignore_conflicts=True)
    if alerts:
        wake("messages")
    return len(alerts)


def due(now: datetime | None = None, limit: int = 20) -> list[int]:
    """Return the ids of alerts to send now."""
    rows = StaffAlert.objects.filter(status=StaffAlert.Status.WAITING, due_at__lte=now or timezone.now())
    return list(rows.order_by("due_at").values_list("pk", flat=True)[:limit])


def is_due(now: datetime | None = None) -> bool:
    """Return whether :func:`due` would find anything."""
    return bool(due(now, limit=1))


def send(alert_id: int, now: datetime | None = None) -> bool:
    """Send one alert to everybody it concerns; False when another worker has it."""
    now = now or timezone.now()
    waiting = StaffAlert.objects.filter(pk=alert_id, status=StaffAlert.Status.WAITING, due_at__lte=now)
    # The due time is the lease: a worker that dies with it leaves it due again, with the try counted.
    if not waiting.update(due_at=now + LEASE, attempts=F("attempts") + 1):
        return False
    alert = StaffAlert.objects.select_related("work_item__location").get(pk=alert_id)
    if alert.work_item.status == WorkItem.Status.DONE:
        _finish(alert, StaffAlert.Status.SENT, 0)
        return True
    if alert.attempts > len(WAITS):
        _finish(alert, StaffAlert.Status.DEAD, 0)
        return True
    try:
        reached = _send_to_all(alert)
    except MessagingError:
        StaffAlert.objects.filter(pk=alert.pk).update(due_at=now + WAITS[alert.attempts - 1])
    else:
        _finish(alert, StaffAlert.Status.SENT, reached)
    return True


def _send_to_all(alert: StaffAlert) -> int:
    item = alert.work_item
    reached = 0
    for name, channel, address in _addresses(item):
        carrier = carrier_for(channel)
        if carrier.leaves_the_building and not recipients.may_be_reached(address):
            continue
        StaffAlert.objects.filter(pk=alert.pk).update(due_at=timezone.now() + LEASE)
        try:
            carrier.send(_message(f"alert-{alert.pk}-{name}", channel, address, item))
        except (HandoverUnknown, MessageRejected, AddressUnusable, OptedOut):
            # Twice told is better than not at all, but not to everybody for one person's sake.
            continue
        reached += 1
    return reached


def _message(reference: str, channel: Channel, address: str, item: WorkItem) -> Outgoing:
    practice = Practice.current().name
    if channel == "sms":
        return Outgoing(reference, "sms", address, f"{practice}: {item.title}. {settings.PUBLIC_BASE_URL}/admin/")
    return Outgoing(reference, "email", address, _body(item), subject=f"{practice}: {item.title}")


def _addresses(item: WorkItem) -> list[tuple[str, Channel, str]]:
    """Return who is told, by which channel: for technical trouble those named for it, else staff who may see it."""
    contacts = AlertContact.objects.filter(active=True).order_by("pk") if _is_technical(item) else ()
    named: list[tuple[str, Channel, str]] = []
    for contact in contacts:
        named += [(f"c{contact.pk}", "email", contact.email)] if contact.email else []
        named += [(f"p{contact.pk}", "sms", contact.phone)] if contact.phone else []
    return named or [(str(user_id), "email", address) for user_id, address in _staff(item)]


def _is_technical(item: WorkItem) -> bool:
    return item.kind.startswith(TECHNICAL)


def _staff(item: WorkItem) -> list[tuple[int, str]]:
    """Return active staff with an e-mail address who may see the item's location."""
    users = get_user_model().objects.filter(is_active=True, is_staff=True).exclude(email="")
    return [
        (user.pk, user.email)
        for user in users.order_by("pk")
        if WorkItem.objects.for_user(user).filter(pk=item.pk).exists()
    ]


def _body(item: WorkItem) -> str:
    due_at = f"\nIt must be settled by {item.due_at:%Y-%m-%d %H:%M} UTC." if item.due_at else ""
    return (
        f"{item.title}.\n\n{item.advice}{due_at}\n\n"
        f"Open the worklist: {settings.PUBLIC_BASE_URL}/admin/\n"
        f"This installation is {settings.INSTALLATION}.\n"
    )


def _finish(alert: StaffAlert, status: str, reached: int) -> None:
    record_change(alert, {"status": (alert.status, status), "recipients": (0, reached)})
    StaffAlert.objects.filter(pk=alert.pk).update(status=status, recipients=reached, sent_at=timezone.now())
