"""The first yes wins: by link, by text or by staff on the phone, all through :func:`claim`.

A conditional UPDATE of the opening decides. The winner then updates its patient's row and the provider's row, which
are the locks for everything that could overlap, and tests both; a conflict rolls the whole claim back. Losing is a
return value. A win is only the right to try the booking: nobody is told "confirmed" here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from scheduling import openings
from scheduling.models import AppointmentType, Opening, Patient
from scheduling.story import tell
from scheduling.transitions import move
from scheduling.worklist import ask_staff, finish_for
from waitlist import entries
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.offering import call_key
from waitlist.settlement import release, settle
from waitlist.winning import STAFF, Lost, Outcome, Wish, reason_at_a_glance, win
from waitlist.withdrawal import FROZEN, mark_late, withdraw

__all__ = ["ClaimResult", "Outcome", "claim", "decline", "release", "settle", "staff_confirm", "staff_reject"]


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """How a yes ended. ``claim``: the asker's own one, or for staff the one that was first."""

    outcome: Outcome
    claim: Claim | None = None

    @property
    def is_win(self) -> bool:
        """Whether the asker holds the claim, now or before."""
        return self.outcome in (Outcome.WON, Outcome.ALREADY_YOURS)


#: Outcomes behind which the asker's own claim may stand: a double click, the back button, a second device.
_MAY_BE_THEIRS = (Outcome.TAKEN, Outcome.FILLED, Outcome.REFUSED)


def claim(
    opening: Opening,
    patient: Patient,
    *,
    offer: Offer | None = None,
    entry: WaitlistEntry | None = None,
    channel: str,
    appointment_type: AppointmentType | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
) -> ClaimResult:
    """Try to take the opening for the patient, at the offer's type and time or at those named.

    ``channel`` is link, sms or staff; ``opening`` and ``offer`` are rows read for this request. Call it outside a
    transaction. Raises ValueError when neither an offer nor a type, start and end say what is wanted.
    """
    now = now or timezone.now()
    kind = appointment_type or (offer.appointment_type if offer else entry.appointment_type if entry else None)
    start, end = start or (offer.start if offer else None), end or (offer.end if offer else None)
    if kind is None or start is None or end is None:
        raise ValueError("a claim without an offer names its type, start and end")
    wish = Wish(opening, patient, offer, entry, kind, start, end, channel, now)
    lost = reason_at_a_glance(wish)
    if lost is not None:
        return _lose(wish, lost, at_a_glance=True)
    try:
        return ClaimResult(Outcome.WON, win(wish))
    except Lost as loss:
        if loss.look_again:
            openings.request_check(opening.pk, wish.now)
        return _lose(wish, loss.outcome)
    except IntegrityError:  # the database's own guard of one live claim per opening
        return _lose(wish, Outcome.TAKEN)


def _lose(wish: Wish, outcome: Outcome, *, at_a_glance: bool = False) -> ClaimResult:
    """Tell the loser the truth: their own claim if they have one, and a better place in line if they were late."""
    offer = wish.offer
    unanswered = offer is not None and offer.status == Offer.Status.SENT and offer.answered_at is None
    # Read by one query with its opening, an unanswered offer shows that the claim is somebody else's; staff ask whose.
    is_of_one_query = offer is not None and offer.opening is wish.opening and not wish.by_staff
    first = None
    if outcome in _MAY_BE_THEIRS and not (at_a_glance and unanswered and is_of_one_query):
        first = Claim.objects.filter(opening_id=wish.opening.pk, state__in=Claim.LIVE).first()
        if first is not None and first.patient_id == wish.patient.pk:
            return ClaimResult(Outcome.ALREADY_YOURS, first)
    if outcome == Outcome.FROZEN:
        _freeze(wish)
    if outcome in (Outcome.TAKEN, Outcome.FILLED) and offer is not None and unanswered:
        mark_late(offer, wish.now)
    return ClaimResult(outcome, first if wish.by_staff else None)


def _freeze(wish: Wish) -> None:
    """The record was closed between offer and answer: nothing is booked or sent, a person looks."""
    ask_staff(
        "patient.frozen",
        "A yes came in for a patient whose record is not to be used",
        advice="Nothing was booked and no answer was sent. The record is inactive, restricted, replaced by another "
        "one or marked as deceased. Check it in the EHR.",
        dedupe_key=f"patient.frozen:{wish.patient.pk}:{wish.opening.pk}",
        opening=wish.opening,
        patient=wish.patient,
        subject=wish.patient,
    )
    withdraw(wish.opening, FROZEN, wish.now, only=Q(patient=wish.patient))


def decline(offer: Offer, channel: str, now: datetime | None = None) -> bool:
    """The patient does not want this time. False when the offer was answered or over before."""
    now = now or timezone.now()
    if offer.status not in (Offer.Status.SENT, Offer.Status.PROPOSED):
        return False
    with transaction.atomic():
        # The opening's row first, as a claim takes it: a yes and a no at once must not wait for each other.
        openings.request_attention(offer.opening_id)
        if not move(offer, Offer.Status.NO, answered_at=now, where=Q(answered_at__isnull=True)):
            return False
        entries.heard_from(offer.entry_id)
        finish_for(call_key(offer), "The patient said no.")
        tell(offer.opening, "offer.declined", "A patient declined.", offer_id=offer.pk, channel=channel)
    return True


def staff_confirm(
    opening: Opening,
    patient: Patient,
    *,
    offer: Offer | None = None,
    entry: WaitlistEntry | None = None,
    appointment_type: AppointmentType | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
) -> ClaimResult:
    """Take the opening for a patient who is on the phone. Staff may take a held one; the actor is the context's."""
    opening.refresh_from_db()
    if offer is None:
        offer = Offer.objects.filter(opening=opening, patient=patient).select_related("entry").first()
    if offer is None and entry is None:
        waiting = WaitlistEntry.objects.filter(patient=patient, status__in=entries.LIVE)
        entry = waiting.filter(appointment_type=appointment_type).first() if appointment_type else None
    return claim(
        opening,
        patient,
        offer=offer,
        entry=entry,
        channel=STAFF,
        appointment_type=appointment_type,
        start=start,
        end=end,
        now=now,
    )


def take_back(offer: Offer, reason: str, now: datetime | None = None) -> int:
    """Take one offer back."""
    return withdraw(offer.opening, reason, now, only=Q(pk=offer.pk))


def staff_reject(offer: Offer) -> bool:
    """The patient said no on the phone, or staff take the offer back."""
    return decline(offer, STAFF)
