"""What becomes of offers and waitlist entries when a patient's record is closed, replaced, or may be used again.

A change of what pays for their visits comes this way too (:mod:`waitlist.insurance`).

Drains ``Patient.attention_due_at``. Each step can be done twice: a worker that dies leaves the patient due.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from audit.context import current_actor
from scheduling import merging, openings
from scheduling.contention import is_deadlock
from scheduling.models import Opening, Patient, PatientMerge, WorkItem
from scheduling.transitions import move
from scheduling.worklist import ask_staff, finish_for
from waitlist import entries, idle_openings, insurance, messages
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.withdrawal import FROZEN, withdraw

logger = logging.getLogger(__name__)

#: After a failure the patient is looked at again so much later.
SETBACK = timedelta(seconds=30)
BATCH = 100
_UNDER_WAY = Q(state=Claim.State.PENDING)


def due(now: datetime) -> QuerySet[Patient]:
    """Return the patients something changed about."""
    rows: QuerySet[Patient] = Patient.objects.filter(attention_due_at__lte=now)
    return rows


def drain(now: datetime) -> int:
    """Look at every patient something changed about; return how many."""
    rows = due(now).order_by("attention_due_at").values_list("pk", "attention_due_at")
    return sum(_take_up(pk, seen, now) for pk, seen in rows[:BATCH] if seen is not None)


def _take_up(patient_id: int, seen: datetime, now: datetime) -> bool:
    rows = Patient.objects.filter(pk=patient_id, attention_due_at=seen)
    try:
        look_at(Patient.objects.select_related("replaced_by").get(pk=patient_id), now)
    except Exception as error:
        # A fault of ours at one patient: staff know, it is tried again, and the others go on.
        if is_deadlock(error):
            return False  # the patient is still due
        logger.exception("patient %s could not be looked at: %s", patient_id, type(error).__name__)
        rows.update(attention_due_at=now + SETBACK)
        _tell_staff(patient_id)
        return False
    finish_for(_stuck_key(patient_id), "It works again.")
    # Last, and by itself: a claim locks the patient's row before the offer's, the work above the other way round.
    return bool(rows.update(attention_due_at=None))


def _tell_staff(patient_id: int) -> None:
    patient = Patient.objects.get(pk=patient_id)
    ask_staff(
        "patient.stuck",
        "The machine fails at one patient's record",
        advice="The record was closed, merged or opened again, and what that means for their offers was not seen to. "
        "It is tried again every 30 seconds. Look at the patient's offers, and tell whoever runs the system.",
        dedupe_key=_stuck_key(patient_id),
        urgency=WorkItem.Urgency.RED,
        subject=patient,
        patient=patient,
        location=patient.locations.order_by("pk").first(),
    )


def _stuck_key(patient_id: int) -> str:
    return f"patient.stuck:{patient_id}"


def look_at(patient: Patient, now: datetime) -> None:
    """Freeze what is out to a patient whose record is not to be used, and set free what still holds otherwise."""
    for ended in PatientMerge.objects.filter(retired=patient, undone_at__isnull=False):
        _give_back(ended)
    if patient.may_be_offered:
        _unfreeze(patient, now)
        insurance.look_again(patient, now)
        waiting = WaitlistEntry.objects.filter(patient=patient, status=WaitlistEntry.Status.WAITING)
        idle_openings.look_again(set(waiting.values_list("appointment_type_id", flat=True)))
        return
    freeze(patient, now)
    merge = merging.holding(patient)
    if merge is not None:
        # A person has decided; what a booking under way kept back then follows once that has ended.
        is_decided = merge.taken_over_at is not None or merge.told_by == PatientMerge.ToldBy.STAFF
        if is_decided:
            take_over(merge)
        # Asks about what is left, if anything.
        _ask_to_take_over(merge, is_decided=is_decided)


def freeze(patient: Patient, now: datetime) -> int:
    """Take back what is out to the patient without a word to them; return how many offers that were."""
    out = Offer.objects.filter(patient=patient, status__in=(Offer.Status.SENT, Offer.Status.PROPOSED))
    touched = Opening.objects.filter(pk__in=out.values("opening_id")).select_related("location", "provider")
    return sum(withdraw(opening, FROZEN, now, only=Q(patient=patient)) for opening in touched)


def _unfreeze(patient: Patient, now: datetime) -> int:
    """Let offers stand again that the patient has in hand and could still say yes to; the link they hold works."""
    frozen = Offer.objects.filter(
        patient=patient,
        status=Offer.Status.WITHDRAWN,
        withdrawn_reason=FROZEN,
        expires_at__gt=now,
        start__gt=now,
        entry__patient=patient,
        entry__status=WaitlistEntry.Status.WAITING,
        opening__status__in=Opening.CLAIMABLE,
        opening__held="",
    )
    return sum(_stands_again(offer) for offer in frozen.order_by("pk"))


def _stands_again(offer: Offer) -> bool:
    if not messages.has_left(offer):
        return False
    try:
        with transaction.atomic():
            return move(offer, Offer.Status.SENT, withdrawn_reason="")
    except IntegrityError:  # another offer is out to them by now
        return False


# --- two records became one ----------------------------------------------------------------------------------------


def work_key(merge: PatientMerge) -> str:
    """Return the worklist's key of a merge whose entries wait for a decision."""
    return f"patient.merged:{merge.pk}"


def _ask_to_take_over(merge: PatientMerge, *, is_decided: bool) -> None:
    left = WaitlistEntry.objects.filter(patient_id=merge.retired_id, status__in=entries.LIVE)
    if not left.exists():
        finish_for(work_key(merge), "Nothing is left to take over.")
        return
    if is_decided and not left.exclude(Exists(Claim.objects.filter(_UNDER_WAY, entry=OuterRef("pk")))).exists():
        return  # the EHR answers first: who is booked waits no more, and who is refused goes over
    if WorkItem.objects.filter(dedupe_key=work_key(merge)).exists():
        return
    ask_staff(
        "patient.merged",
        "Two patient records became one: take the waitlist entries over?",
        advice="The record that was replaced is on the waitlist. Nothing is offered to it any more, and open offers to "
        "it are frozen; the patient was told nothing. “Take over” puts the record that is kept on the list instead, at "
        "the same place.",
        dedupe_key=work_key(merge),
        subject=merge,
        patient=merge.kept,
        location=merge.kept.locations.order_by("pk").first(),
    )


def take_over(merge: PatientMerge) -> tuple[int, list[str]]:
    """Put the record that is kept on the list where the retired one waits.

    Returns how many entries were taken over, and a sentence for each that was not. What was moved is written to the
    merge, so that an undo gives back exactly that. Consent stays where it was given: an opt-out of either binds
    both (:mod:`waitlist.consent`), a yes of one is none of the other.
    """
    left: list[str] = []
    with transaction.atomic():
        row = PatientMerge.objects.select_for_update(of=("self",)).select_related("kept").get(pk=merge.pk)
        if row.undone_at is not None:
            return 0, ["The merge was undone meanwhile; nothing was changed."]
        moved = list(row.moved)
        for entry in WaitlistEntry.objects.filter(patient_id=row.retired_id, status__in=entries.LIVE).order_by("pk"):
            if Claim.objects.filter(_UNDER_WAY, entry=entry).exists():
                left.append("One entry has a booking under way and stays until the EHR has answered.")
            elif not entries.hand_over(entry, row.kept):
                left.append("One entry stays as it is: the kept record waits for that kind of visit already.")
            else:
                moved.append({"entry": entry.pk})
        if len(moved) > len(row.moved):
            # Once that record is itself replaced by a third, what came to it here goes on, or is asked about.
            Patient.objects.filter(pk=row.kept_id).update(attention_due_at=timezone.now())
        row.moved, row.taken_over_at = moved, row.taken_over_at or timezone.now()
        row.save(update_fields=["moved", "taken_over_at"])
        merge.moved, merge.taken_over_at = row.moved, row.taken_over_at
        openings_of = Offer.objects.filter(patient_id=row.retired_id, withdrawn_reason=FROZEN)
        for opening_id in openings_of.values_list("opening_id", flat=True).distinct():
            openings.request_attention(opening_id)
    if not left:
        finish_for(work_key(merge), "Taken over.", by=current_actor().name)
    return sum("entry" in each for each in moved), left


def why_it_cannot_be_undone(merge: PatientMerge) -> list[str]:
    """Return a sentence for each thing that happened since and that an undo could not put right; mostly none."""
    kept = Patient.objects.get(pk=merge.kept_id)
    found = []
    if kept.replaced_by_id is not None:
        found.append("The kept record has been replaced by another one since. Undo that first.")
    for entry in _moved_entries(merge):
        found += _objections(merge, entry)
    return found


def _objections(merge: PatientMerge, entry: WaitlistEntry) -> list[str]:
    if entry.patient_id != merge.kept_id:
        return ["A waitlist entry that was taken over has gone on to yet another record."]
    if Claim.objects.filter(entry=entry, patient_id=merge.kept_id, state__in=Claim.LIVE).exists():
        return ["A waitlist entry that was taken over has led to a booking. Cancel that booking in the EHR first."]
    same_type = WaitlistEntry.objects.filter(
        patient_id=merge.retired_id, appointment_type_id=entry.appointment_type_id, status__in=entries.LIVE
    )
    if entry.status in entries.LIVE and same_type.exists():
        return ["The retired record was put on the waitlist anew. Take that entry off the list first."]
    return []


def undo(merge: PatientMerge) -> list[str]:
    """Staff take a merge back, all of it or nothing; returns why not, empty when it is undone."""
    with transaction.atomic():
        row = PatientMerge.objects.select_for_update().get(pk=merge.pk)
        why_not = why_it_cannot_be_undone(row)
        if why_not:
            return why_not
        if not merging.undo(row):
            return ["It was undone by somebody else already."]
        _give_back(row)
    return []


def _moved_entries(merge: PatientMerge) -> list[WaitlistEntry]:
    keys = [each["entry"] for each in merge.moved if "entry" in each]
    return list(WaitlistEntry.objects.filter(pk__in=keys).order_by("pk"))


def _give_back(merge: PatientMerge) -> None:
    """Give the retired record back what was taken over. What cannot be is shown to staff, where the EHR undid it."""
    finish_for(work_key(merge), "The merge was undone.")
    if not _moved_entries(merge):
        return
    kept_back: list[str] = []
    retired = Patient.objects.get(pk=merge.retired_id)
    with transaction.atomic():
        for entry in _moved_entries(merge):
            why_not = _objections(merge, entry)
            if why_not or not entries.hand_over(entry, retired):
                kept_back += why_not or ["A waitlist entry could not be given back."]
        merge.moved = []
        merge.save(update_fields=["moved"])
    if kept_back:
        ask_staff(
            "patient.unmerged",
            "Two patient records were separated again, and not everything could be given back",
            advice=" ".join(dict.fromkeys(kept_back)),
            dedupe_key=f"patient.unmerged:{merge.pk}",
            subject=merge,
            patient=merge.kept,
            location=merge.kept.locations.order_by("pk").first(),
        )
