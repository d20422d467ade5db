"""What staff can do about the work items that the waitlist puts on the worklist."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from scheduling import openings
from scheduling.models import Appointment, Opening, PatientMerge, WorkItem
from scheduling.standing import nothing_changed
from scheduling.worklist import Action, register_action, register_numbers, register_script
from waitlist import bumped, call_scripts, checklists, claims, closed_records, missing_papers, own_contacts
from waitlist.models import Claim, Offer
from waitlist.winning import STAFF
from waitlist.withdrawal import withdraw


def _opening(item: WorkItem) -> Opening:
    return Opening.objects.get(pk=item.subject_id or 0)


def _offer(item: WorkItem) -> Offer:
    rows = Offer.objects.select_related("opening__location", "patient", "entry", "appointment_type")
    return rows.get(pk=item.subject_id or 0)


def _send(item: WorkItem, user: AbstractBaseUser) -> str:
    opening = _opening(item)
    if opening.held != Opening.Held.ASK_FIRST or not openings.unhold(opening):
        return nothing_changed(opening)
    return "The offers go out after a fresh look at the EHR; later waves follow by themselves."


def _do_not(item: WorkItem, user: AbstractBaseUser) -> str:
    opening = _opening(item)
    with transaction.atomic():
        if not openings.close(opening, Opening.Closed.STAFF):
            return nothing_changed(opening)
        withdraw(opening, "staff")
    return "The time is not offered; nobody was told of it."


def _said_yes(item: WorkItem, user: AbstractBaseUser) -> str:
    offer = _offer(item)
    result = claims.staff_confirm(offer.opening, offer.patient, offer=offer)
    if result.outcome == claims.Outcome.WON:
        return "Received: the booking is on its way to the EHR. Tell the patient it is not confirmed yet."
    if result.outcome == claims.Outcome.ALREADY_YOURS:
        return "The patient has this time already."
    who = f" {_who_was_first(result.claim)}" if result.claim else ""
    return f"Not booked: {result.outcome.label}.{who} Tell the patient; they keep their place on the list."


def _who_was_first(claim: Claim) -> str:
    """Say who has the time; the patient's name stands on the opening's page, to which the item leads."""
    if claim.channel == STAFF:
        return f"{claim.actor} took it for another patient."
    return f"Another patient said yes {'by text' if claim.channel == 'sms' else 'by their link'}."


def _said_no(item: WorkItem, user: AbstractBaseUser) -> str:
    if claims.staff_reject(_offer(item)):
        return "Noted: the patient does not want this time."
    return "The offer was over already; nothing was changed."


def _not_reached(item: WorkItem, user: AbstractBaseUser) -> str:
    if claims.take_back(_offer(item), "not_reached"):
        return "Noted: not reached. The patient keeps their place on the list."
    return "The offer was over already; nothing was changed."


def _take_over(item: WorkItem, user: AbstractBaseUser) -> str:
    merge = PatientMerge.objects.get(pk=item.subject_id or 0)
    moved, left = closed_records.take_over(merge)
    said = f"{moved} waitlist {'entry was' if moved == 1 else 'entries were'} taken over."
    return " ".join([said, *dict.fromkeys(left)])


def _leave(item: WorkItem, user: AbstractBaseUser) -> str:
    return "Nothing was taken over; the record that was replaced is offered nothing."


def _wait(item: WorkItem, user: AbstractBaseUser) -> str:
    rows = Appointment.objects.select_related("patient", "appointment_type", "provider", "location")
    return bumped.put_on_the_list(rows.get(pk=item.subject_id or 0))


def _told(item: WorkItem, user: AbstractBaseUser) -> str:
    return "The patient was told."


def _read(item: WorkItem, user: AbstractBaseUser) -> str:
    return "Read and dealt with."


def register() -> None:
    """Put the buttons on their work items. Called when the app is ready."""
    for kind, action in (
        ("opening.ask_first", Action("send", "Send", "The patients proposed are offered this time now.", _send)),
        ("opening.ask_first", Action("dont", "Don't", "The opening closes; nobody is told.", _do_not)),
        (
            "offer.call",
            Action("yes", "They said yes", "The time is kept for them; they hear once the EHR shows it.", _said_yes),
        ),
        ("offer.call", Action("no", "They said no", "They are not offered this time again.", _said_no)),
        ("offer.call", Action("missed", "Not reached", "The offer ends; they keep their place.", _not_reached)),
        (
            bumped.KIND,
            Action(
                "wait", "Put on the waitlist", "They wait for the same, as urgent; nobody is written to now.", _wait
            ),
        ),
        (bumped.KIND, Action("read", "Has a new time", "Nothing is sent; the item is closed.", _read)),
        ("claim.chase", Action("told", "Called", "Nothing is sent; the claim stays as it is.", _told)),
        ("claim.tell", Action("told", "Called", "Nothing is sent; the item is closed.", _told)),
        (checklists.KIND, Action("done", "Arranged", "Nothing is sent; the item is closed.", _read)),
        (checklists.UNDO, Action("done", "Cancelled", "Nothing is sent; the item is closed.", _read)),
        ("reply.unclear", Action("read", "Dealt with", "Nothing is sent; the item is closed.", _read)),
        ("reply.who", Action("read", "Dealt with", "Nothing is sent; the item is closed.", _read)),
        ("reply.urgent", Action("read", "Called", "Nothing is sent; the item is closed.", _read)),
        ("reply.wrong_person", Action("read", "Dealt with", "The number stays frozen; the item is closed.", _read)),
        ("contact.wrong_person", Action("read", "Dealt with", "The contact stays frozen; the item is closed.", _read)),
        (
            "patient.merged",
            Action(
                "over", "Take over", "The kept record waits at the same place; nobody is written to now.", _take_over
            ),
        ),
        ("patient.merged", Action("leave", "Leave", "Nothing is moved; the replaced record gets no offers.", _leave)),
        ("patient.unmerged", Action("read", "Dealt with", "Nothing is sent; the item is closed.", _read)),
        ("patient.frozen", Action("read", "Dealt with", "Nothing is sent; the item is closed.", _read)),
        ("appointment.cancel", Action("done", "Cancelled by hand", "The EHR's news of it opens the time.", _read)),
        (missing_papers.KIND, Action("done", "Asked for", "Nothing is sent; asked again in a week.", _read)),
        ("entry.still_on_ehr_list", Action("done", "Taken off there", "Nothing is sent; the item is closed.", _read)),
        ("contact.check", Action("done", "Called", "Nothing is sent; the item is closed.", _read)),
        ("contact.changed", Action("done", "Called", "Nothing is sent; the item is closed.", _read)),
        ("consent.check", Action("done", "Called", "Nothing is sent; the item is closed.", _read)),
        ("moveup.cancel", Action("done", "Cancelled by hand", "The EHR's news of it opens the time.", _read)),
    ):
        register_action(kind, action)
    register_script("offer.call", call_scripts.for_offer)
    register_numbers("contact.changed", own_contacts.numbers_before, without=own_contacts.NO_NUMBER_BEFORE)
