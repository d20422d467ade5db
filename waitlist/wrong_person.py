"""A contact reached the wrong person: nothing more goes there by any channel, and what had gone there is listed."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit.context import current_actor
from audit.log import record_change
from scheduling.models import ContactPoint, Patient, WorkItem
from scheduling.patients import request_attention
from scheduling.worklist import ask_staff, finish_for
from waitlist import claims, consent, messages, rerouting
from waitlist.models import Message, Offer, Reply, WrongPersonReport

_State = ContactPoint.State


def freeze(
    system: str, address_index: str, *, reply: Reply | None = None, now: datetime | None = None
) -> list[WrongPersonReport]:
    """Freeze an address for everybody who has it and every channel, calls included; return what is newly reported.

    What waits to go there is stopped, and what must be heard goes another way. Offers that stand only there are taken
    back. Doing it again changes nothing.
    """
    now = now or timezone.now()
    with transaction.atomic():
        # Somebody may be typing in the code that makes the address theirs: what is taken first is frozen here too.
        consent.hold([address_index])
        rows = ContactPoint.objects.filter(system=system, address_index=address_index).select_related("patient")
        contacts = list(rows.select_for_update(of=("self",)).order_by("pk"))
        for contact in contacts:
            contact.state = _State.FROZEN
            contact.save(update_fields=["state"])
        reports = [report for contact in contacts if (report := _report(contact, reply, now)) is not None]
        stopped = [
            message
            for channel in {consent.channel_of(contact) for contact in contacts}
            for message in consent.suppress_address(channel, address_index, "frozen")
        ]
        for offer in _offers_there(contacts, address_index):
            claims.take_back(offer, "wrong_person", now)
        for message in stopped:
            rerouting.tell_otherwise(message)
    return reports


def _report(contact: ContactPoint, reply: Reply | None, now: datetime) -> WrongPersonReport | None:
    """Note the contact with what had gone there about its patient; None when that stands already."""
    report, is_new = WrongPersonReport.objects.get_or_create(
        contact_point=contact,
        undone_at=None,
        defaults={
            "patient": contact.patient,
            "system": contact.system,
            "address": contact.value,
            "reply": reply,
            "reported_by": current_actor().name[:150],
            "reported_at": now,
        },
    )
    if not is_new:
        return None
    report.disclosed.set(_gone_to(contact))
    return report


def _gone_to(contact: ContactPoint) -> QuerySet[Message]:
    """Return what has reached the address, or may have, about this patient or about whoever has the number."""
    rows = Message.objects.filter(address_index=contact.address_index, status__in=messages.LEFT, test_by="")
    return rows.filter(Q(patient=contact.patient) | Q(patient__isnull=True))


def _offers_there(contacts: list[ContactPoint], address_index: str) -> list[Offer]:
    """Return the live offers that were sent there, and those by a call for whom no other number is left."""
    people = {contact.patient_id for contact in contacts}
    other = ContactPoint.objects.filter(
        patient__in=people, system=ContactPoint.System.PHONE, state=_State.USABLE
    ).exclude(use="old")
    unreachable = people - set(other.values_list("patient_id", flat=True))
    told = Message.objects.filter(kind=Message.Kind.OFFER, address_index=address_index).values("offer")
    live = Offer.objects.filter(status__in=(Offer.Status.SENT, Offer.Status.PROPOSED), answered_at__isnull=True)
    by_call = Q(patient__in=unreachable, messages__isnull=True)
    rows = live.filter(Q(pk__in=told) | by_call).select_related("opening__location", "patient", "entry")
    return list(rows.order_by("pk"))


def ask_to_look(report: WrongPersonReport) -> WorkItem:
    """Have somebody look at what was disclosed; for contacts that a person froze."""
    return ask_staff(
        "contact.wrong_person",
        "A contact reaches the wrong person: see what was disclosed there",
        advice="Nothing more is sent or called there. Tell whoever is in charge of privacy, and correct the record in "
        "the EHR.",
        dedupe_key=f"contact.wrong_person:{report.pk}",
        subject=report,
        patient=report.patient,
        location=report.patient.locations.order_by("pk").first(),
    )


def undo(report: WrongPersonReport, because: str, *, by: str, now: datetime | None = None) -> bool:
    """It was the right person after all: the contact may be used again. False when that was said before.

    Only this patient's contact is freed. Offers that were taken back stay so; the list is looked at anew.
    """
    values = {"undone_at": now or timezone.now(), "undone_by": by[:150], "undone_because": because[:200]}
    with transaction.atomic():
        if not WrongPersonReport.objects.filter(pk=report.pk, undone_at__isnull=True).update(**values):
            return False
        record_change(report, {name: (getattr(report, name), value) for name, value in values.items()})
        contact = report.contact_point
        if contact is not None and contact.state == _State.FROZEN:
            contact.state = _State.USABLE
            contact.save(update_fields=["state"])
        finish_for(f"contact.wrong_person:{report.pk}", "The contact is the patient's after all.", by)
        request_attention(report.patient)
    return True


def shared_with(contact: ContactPoint) -> QuerySet[Patient]:
    """Return the other patients who have the same address."""
    same = ContactPoint.objects.filter(system=contact.system, address_index=contact.address_index)
    return Patient.objects.filter(pk__in=same.values("patient")).exclude(pk=contact.patient_id)
