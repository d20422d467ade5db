"""How far an appointment is in step with the EHR: when it was last told, what waits, what failed, what differs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from config.desk.patient_sync import news_of
from integrations.models import Difference
from scheduling.models import Appointment, ExternalId, Writeback


@dataclass(frozen=True, slots=True)
class AppointmentSync:
    """``is_named``: the EHR has it. ``synced_at`` is when it last told us of it; None: it never did by itself.

    ``waiting`` is the change of ours that is on its way, ``failed`` our last one if the EHR did not take it, and
    ``differs`` waits for a decision.
    """

    is_named: bool
    synced_at: datetime | None
    waiting: Writeback | None
    news_waiting: int
    failed: Writeback | None
    news_failed: int
    differs: Difference | None


def sync_of(appointment: Appointment, user: AbstractBaseUser | AnonymousUser) -> AppointmentSync:
    """Return how far the appointment is in step with the EHR."""
    names = ExternalId.objects.filter(kind=ExternalId.Kind.APPOINTMENT, object_id=appointment.pk)
    name = names.order_by("-seen_at", "-pk").first()
    news_waiting, news_failed = news_of("Appointment", names)
    writes = Writeback.objects.filter(appointment=appointment).order_by("-pk")
    last = writes.first()
    ended_badly = last is not None and last.status in (Writeback.Status.REFUSED, Writeback.Status.DEAD)
    differences = Difference.objects.for_user(user).filter(appointment=appointment, state__in=Difference.WAITING)
    return AppointmentSync(
        name is not None,
        name.seen_at if name is not None else None,
        writes.filter(status__in=Writeback.LIVE).first(),
        news_waiting,
        last if ended_badly else None,
        news_failed,
        differences.first(),
    )
