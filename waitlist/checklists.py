"""What is to be arranged for a booked visit, such as an interpreter or transport; and what is taken back with it."""

from __future__ import annotations

from typing import Final

from django.db.models import Exists, OuterRef
from django.utils import timezone

from scheduling.models import Appointment, WorkItem
from scheduling.worklist import BY_ITSELF, ask_staff, finish
from waitlist import telling
from waitlist.models import Claim

KIND: Final = "claim.checklist"
#: What was arranged for a visit that will not be.
UNDO: Final = "claim.arranged"
_OFF = (*Appointment.FREEING, Appointment.Status.BUMPED)
BATCH = 200


def leave(claim: Claim) -> None:
    """Ask staff for what the visit needs; plain visits of patients who were here before leave nothing to do."""
    entry = claim.entry
    needs = [] if claim.patient.established else ["paperwork of a new patient"]
    if entry is not None:
        needs += [str(need.get("need", "")) for need in entry.needs if need.get("need")]
        needs += ["referral"] if entry.referral_required else []
        needs += ["authorization"] if entry.authorization_required else []
    if not needs:
        return
    advice = "The EHR has the booking."
    old = telling.moved_up(claim)
    if old is not None and old.start is not None:
        day = old.start.astimezone(claim.opening.location.zone)
        advice += f" It replaces the visit on {day:%B} {day.day}: cancel what was arranged for that day, too."
    ask_staff(
        KIND,
        f"Arrange for a booked visit: {', '.join(needs)}",
        advice=advice,
        dedupe_key=f"{KIND}:{claim.pk}",
        subject=claim,
        opening=claim.opening,
        patient=claim.patient,
        due_at=claim.appointment.start,
    )


def follow() -> None:
    """Ask for nothing any more where the visit was cancelled, and have staff take back what they had arranged."""
    off = Claim.objects.filter(pk=OuterRef("subject_id"), appointment__status__in=_OFF)
    items = WorkItem.objects.filter(Exists(off), kind=KIND).order_by("pk")
    for item in items.filter(status=WorkItem.Status.OPEN)[:BATCH]:
        finish(item, BY_ITSELF, "The visit was cancelled.")
    asked = WorkItem.objects.filter(kind=UNDO, subject_id=OuterRef("subject_id"))
    arranged = items.filter(~Exists(asked), status=WorkItem.Status.DONE, due_at__gt=timezone.now())
    claims = Claim.objects.select_related("opening", "patient", "appointment")
    for item in arranged.exclude(done_by=BY_ITSELF)[:BATCH]:
        claim = claims.get(pk=item.subject_id or 0)
        ask_staff(
            UNDO,
            item.title.replace("Arrange for a booked visit:", "Cancel what was arranged, as the visit was cancelled:"),
            advice="It was marked as arranged here. If nothing was ordered, there is nothing to do.",
            dedupe_key=f"{UNDO}:{claim.pk}",
            subject=claim,
            opening=claim.opening,
            patient=claim.patient,
            due_at=claim.appointment.start,
        )
