"""A parent's or guardian's contact that staff enter: another person than the patient, so no EHR is told of it."""

from __future__ import annotations

from django.db import transaction

from audit.context import current_actor
from scheduling.models import ContactPoint, Patient
from scheduling.patient_contacts import contact_points
from scheduling.patients import request_attention
from scheduling.records import ContactRecord


class NotUsable(ValueError):
    """What was entered is no phone number and no e-mail address; the text says what to do."""


def enter(patient: Patient, value: str) -> ContactPoint:
    """Keep ``value``, a phone number or an e-mail address, as a guardian's contact of the patient; return it.

    An address that is on file already becomes the guardian's. It stays what it is whatever the EHR says, until it is
    removed. Raises :class:`NotUsable`.
    """
    told = ContactRecord("email" if "@" in value else "phone", value.strip(), guardian=True)
    (row,) = contact_points(patient, (told,))
    if row.state != ContactPoint.State.USABLE:
        raise NotUsable("Nothing was kept: write a whole phone number, such as (212) 555-0100, or an e-mail address.")
    row.entered_by = current_actor().name[:150]
    with transaction.atomic():
        # Pressed twice at once, the second one finds what the first has kept.
        Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
        held = patient.contact_points.filter(system=row.system, address_index=row.address_index).first()
        if held is not None:
            row.pk, row.state, row.rank = held.pk, held.state, held.rank
        row.save()
        request_attention(patient)
    return row


def remove(contact: ContactPoint) -> bool:
    """Use a contact that staff entered no more; False for one the EHR told, which only the EHR takes back."""
    if not contact.entered_by:
        return False
    with transaction.atomic():
        contact.entered_by, contact.use = "", "old"
        contact.save(update_fields=["entered_by", "use"])
        request_attention(contact.patient)
    return True
