"""Whether what a message says was overtaken, by later news to the same patient or by what they did meanwhile.

A message that waited (for the morning, for a carrier) may say what was true when it was written: "not yet confirmed"
after "confirmed", "filled" of a time they were offered anew.
"""

from __future__ import annotations

from collections.abc import Callable

from scheduling.models import Appointment
from waitlist.models import Claim, Message, Offer, WaitlistEntry

_K = Message.Kind
#: What a yes came to.
_NEWS = (_K.CONFIRMED, _K.REFUSED)
#: News of an appointment that is given up: what stands further on is later.
_GIVING_UP = (_K.CANCELLING, _K.NOT_CANCELLED, _K.CANCELLED)


def is_overtaken(message: Message) -> bool:
    """Return whether the message is better not sent any more."""
    check = _CHECKS.get(_K(message.kind))
    return check is not None and check(message)


def _receipt(message: Message) -> bool:
    """Where the news of the booking still waits, too, the receipt leaves before it, as ever."""
    claim = _claim(message)
    if claim is None or claim.state == Claim.State.PENDING:
        return False
    news = Message.objects.filter(kind__in=_NEWS, opening=message.opening_id, patient=message.patient_id)
    return not news.filter(status=Message.Status.WAITING).exists()


def _refusal(message: Message) -> bool:
    claim = _claim(message)
    return claim is not None and claim.state in Claim.LIVE


def _confirmation(message: Message) -> bool:
    claim = _claim(message)
    return claim is not None and claim.appointment.status in Appointment.FREEING


def _claim(message: Message) -> Claim | None:
    """Return the patient's newest claim of the time that the message is about."""
    if message.opening_id is None or message.patient_id is None:
        return None
    rows = Claim.objects.filter(opening=message.opening_id, patient=message.patient_id)
    return rows.select_related("appointment").order_by("-pk").first()


def _giving_up(message: Message) -> bool:
    later = _GIVING_UP[_GIVING_UP.index(_K(message.kind)) + 1 :]
    about = ":".join(message.dedupe_key.split(":")[:2])
    return Message.objects.filter(
        kind__in=later, patient=message.patient_id, dedupe_key__startswith=f"{about}:"
    ).exists()


def _end(message: Message) -> bool:
    return message.offer is not None and message.offer.status == Offer.Status.SENT


def _question(message: Message) -> bool:
    asked = WaitlistEntry.objects.filter(patient=message.patient_id, status=WaitlistEntry.Status.ASKED)
    return message.patient_id is not None and not asked.exists()


_CHECKS: dict[str, Callable[[Message], bool]] = {
    _K.RECEIVED: _receipt,
    _K.REFUSED: _refusal,
    _K.CONFIRMED: _confirmation,
    _K.CANCELLING: _giving_up,
    _K.NOT_CANCELLED: _giving_up,
    _K.FILLED: _end,
    _K.WITHDRAWN: _end,
    _K.STILL_WANTED: _question,
}
