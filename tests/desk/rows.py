"""One row of every model that staff can look at, all of them at one location."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Model
from django.utils import timezone

from integrations.models import Difference
from scheduling.models import (
    Appointment,
    Block,
    Bookable,
    ClosedDay,
    Location,
    Opening,
    Patient,
    PatientMerge,
    PatientReview,
    PatientWrite,
    TimelineEntry,
    WorkItem,
    Writeback,
)
from tests import factories
from tests.desk.conftest import Practice
from waitlist.models import (
    CandidateVerdict,
    Claim,
    ConsentRecord,
    ImportBatch,
    Message,
    Offer,
    OutreachPolicy,
    Reply,
    WaitlistEntry,
    WrongPersonReport,
)


def rows_at(practice: Practice, place: Location, patient: Patient) -> dict[type[Model], Any]:
    """Return one row of each model that belongs to a location, all of them at ``place`` and about ``patient``."""
    now = timezone.now()
    opening = practice.opening(place, status="offering", waves_sent=1)
    appointment = factories.appointment(patient, practice.chen, place, practice.followup, start=now + timedelta(days=2))
    entry = practice.entry(patient, locations=[place])
    offer = factories.offer(opening, entry)
    contact = patient.contact_points.all()[0]
    common = {"address": contact.value, "address_index": contact.address_index, "location": place, "patient": patient}
    double = factories.patient(given_name=patient.given_name, family_name=patient.family_name, locations=[place])
    found: list[Model] = [
        place,
        patient,
        opening,
        appointment,
        entry,
        offer,
        Bookable.objects.get(location=place),
        Block.objects.create(provider=practice.chen, location=place, start=now, end=now + timedelta(hours=1)),
        Difference.objects.create(
            connection=practice.connection,
            subject=f"ext:{appointment.pk}",
            kind="differs",
            fields=["status"],
            ehr_says={"status": "cancelled"},
            we_hold={"status": "booked"},
            appointment=appointment,
            patient=patient,
            location=place,
            start=appointment.start,
            found_at=now,
            seen_at=now,
        ),
        Writeback.objects.create(
            kind="create",
            appointment=appointment,
            opening=opening,
            source=practice.source,
            status="dead",
            due_at=now,
            deadline_at=now,
        ),
        TimelineEntry.objects.create(opening=opening, at=now, kind="wave.sent", summary="Wave 1.", actor="test"),
        WorkItem.objects.create(kind="test", dedupe_key=f"w{place.pk}", title="Look", location=place, patient=patient),
        Claim.objects.create(
            opening=opening, patient=patient, appointment=appointment, channel="staff", actor="test", state="refused"
        ),
        CandidateVerdict.objects.create(opening=opening, entry=entry, rank=1, eligible=True, computed_at=now),
        Message.objects.create(
            kind="offer",
            channel="sms",
            body="The words.",
            dedupe_key=f"m{place.pk}",
            due_at=now,
            status="dead",
            **common,
        ),
        Reply.objects.create(carrier_id=f"r{place.pk}", body="YES please", received_at=now, outcome="staff", **common),
        WrongPersonReport.objects.create(
            patient=patient, system="phone", address=contact.value, reported_by="test", reported_at=now
        ),
        ConsentRecord.objects.filter(patient=patient).first(),  # type: ignore[list-item]
        OutreachPolicy.objects.create(location=place),
        ClosedDay.objects.create(location=place, day=now.date(), name="Holiday"),
        ImportBatch.objects.create(location=place, status="preview"),
        PatientReview.objects.create(
            patient=patient, other=double, reasons=["birth_date_and_names"], dedupe_key=f"pair:{patient.pk}"
        ),
        PatientWrite.objects.create(
            patient=patient,
            source=practice.source,
            wanted=[{"detail": "phone", "new": "+12125550188", "old": contact.value, "base": [contact.value]}],
            conflicts={f"phone:{contact.value}": ["+12125550199"]},
            status="conflict",
            due_at=now,
        ),
        PatientMerge.objects.create(retired=double, kept=patient, told_by="link", at=now),
    ]
    return {type(row): row for row in found}


__all__ = ["Appointment", "Offer", "Opening", "WaitlistEntry", "rows_at"]
