"""The comment a booking of ours carries in the EHR, so that whoever meets it there sees why a name appeared."""

from __future__ import annotations

from scheduling.models import Appointment
from waitlist.models import Claim

#: How each comment of ours begins.
OUR_COMMENT = "Waitlist, ref "
_WAYS = {"sms": "by text", "email": "by e-mail", "staff": "by phone, taken by staff"}


def comment_on(appointment: Appointment) -> str:
    """Return "Waitlist, ref R, YES by text 08:07", on the location's clock; empty where nobody claimed it.

    It names nobody: the reference is what the patient can read over the phone.
    """
    claim = Claim.objects.select_related("opening__location", "offer").filter(appointment=appointment).first()
    if claim is None:
        return ""
    by_mail = claim.channel == "link" and claim.offer is not None and claim.offer.asks_birth_year
    way = _WAYS.get("email" if by_mail else claim.channel, "by link")
    said_at = claim.created_at.astimezone(claim.opening.location.zone)
    return f"{OUR_COMMENT}{appointment.reference}, YES {way} {said_at:%H:%M}"
