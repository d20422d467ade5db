"""The first yes wins: by link, by text or by staff on the phone, all through :func:`claim`.

A conditional UPDATE of the opening decides. The winner then updates its patient's row and the provider's row, which
are the locks for everything that could overlap, and tests both; a conflict rolls the whole claim back. Losing is a
return value. A win is only the right to try the booking: nobody is told "confirmed" here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, OperationalError, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.context import current_actor
from scheduling import openings, writebacks
from scheduling.models import Appointment, AppointmentType, Opening, Patient, Provider
from scheduling.records import Interval
from scheduling.story import tell
from scheduling.transitions import move
from scheduling.wake import wake
from scheduling.worklist import ask_staff, finish_for
from waitlist import entries, telling
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.offering import call_key
from waitlist.settlement import release, settle
from waitlist.withdrawal import mark_late, withdraw

__all__ = ["ClaimResult", "Outcome", "claim", "decline", "release", "settle", "staff_confirm", "staff_reject"]

#: Read aloud on the phone, none of these is taken for another.
REFERENCE_ALPHABET = "ACDEFGHJKMNPQRTUVWXY34679"
REFERENCE_LENGTH = 6
LONGEST_WAIT = timedelta(hours=24)
#: PostgreSQL's name for a transaction it ended because two waited for each other.
DEADLOCK = "40P01"
STAFF = "staff"


class Outcome(models.TextChoices):
    """What a yes came to. Everything but WON and ALREADY_YOURS changed nothing but the asker's own offer."""

    WON = "won", "received, not yet confirmed"
    ALREADY_YOURS = "already_yours", "yours already"
    TAKEN = "taken", "somebody answered first; it is being booked"
    FILLED = "filled", "filled"
    EXPIRED = "expired", "the offer has ended"
    WITHDRAWN = "withdrawn", "no longer offered"
    CHANGED = "changed", "the time was moved"
    REFUSED = "refused", "the EHR refused this booking"
    OVERLAPS = "overlaps", "the patient has an appointment at that time"
    HELD = "held", "staff decide first"
    FROZEN = "frozen", "the patient's record is not to be used"


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """How a yes ended. ``claim``: the asker's own one, or for staff the one that was first."""

    outcome: Outcome
    claim: Claim | None = None

    @property
    def is_win(self) -> bool:
        """Whether the asker holds the claim, now or before."""
        return self.outcome in (Outcome.WON, Outcome.ALREADY_YOURS)


@dataclass(slots=True)
class _Wish:
    """Who wants which time, and how they said so."""

    opening: Opening
    patient: Patient
    offer: Offer | None
    entry: WaitlistEntry | None
    appointment_type: AppointmentType
    start: datetime
    end: datetime
    channel: str
    now: datetime

    @property
    def by_staff(self) -> bool:
        return self.channel == STAFF

    @property
    def interval(self) -> Interval:
        return Interval(self.start, self.end)


#: Outcomes behind which the asker's own claim may stand: a double click, the back button, a second device.
_MAY_BE_THEIRS = (Outcome.TAKEN, Outcome.FILLED, Outcome.REFUSED)


class _Lost(Exception):
    """Carries the outcome past the rollback."""

    def __init__(self, outcome: Outcome, *, look_again: bool = False) -> None:
        self.outcome = outcome
        self.look_again = look_again


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
    wish = _Wish(opening, patient, offer, entry, kind, start, end, channel, now)
    lost = _reason_at_a_glance(wish)
    if lost is not None:
        return _lose(wish, lost, at_a_glance=True)
    try:
        return ClaimResult(Outcome.WON, _try_to_win(wish))
    except _Lost as loss:
        if loss.look_again:
            openings.request_check(opening.pk, wish.now)
        return _lose(wish, loss.outcome)
    except IntegrityError:  # the database's own guard of one live claim per opening
        return _lose(wish, Outcome.TAKEN)


def _try_to_win(wish: _Wish) -> Claim:
    """Run the claim's transaction; once more when the database ended it to resolve a deadlock."""
    for is_last in (False, True):
        try:
            with transaction.atomic():
                return _win(wish)
        except OperationalError as error:
            if is_last or getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                raise
    raise AssertionError("unreachable")


def _reason_at_a_glance(wish: _Wish) -> Outcome | None:
    """Return why the wish is lost, from what was read already: a loser costs the winner nothing."""
    opening, offer = wish.opening, wish.offer
    if not wish.by_staff and not wish.patient.may_be_offered:
        return Outcome.FROZEN
    if opening.status == Opening.Status.CLAIMED:
        return Outcome.TAKEN
    if opening.status == Opening.Status.FILLED:
        return Outcome.FILLED
    if opening.status == Opening.Status.CLOSED:
        taken = opening.closed_reason == Opening.Closed.TAKEN
        return Outcome.FILLED if taken else Outcome.WITHDRAWN
    if not Interval(opening.start, opening.end).covers(wish.interval):
        return Outcome.CHANGED
    if wish.start <= wish.now:
        return Outcome.EXPIRED
    if wish.by_staff:
        return None
    if opening.held:
        return Outcome.HELD
    return _reason_of_offer(offer, wish.now) if offer is not None else None


def _reason_of_offer(offer: Offer, now: datetime) -> Outcome | None:
    if offer.status == Offer.Status.YES:
        return Outcome.REFUSED
    if offer.status == Offer.Status.TOO_LATE:
        return Outcome.TAKEN
    if offer.status in (Offer.Status.WITHDRAWN, Offer.Status.PROPOSED):
        return Outcome.WITHDRAWN
    if offer.status == Offer.Status.EXPIRED or offer.expires_at <= now:
        return Outcome.EXPIRED
    return None


def _win(wish: _Wish) -> Claim:
    opening = openings.take(wish.opening.pk, by_staff=wish.by_staff, now=wish.now)
    if opening is None:
        raise _Lost(_reason_now(wish))
    if not openings.interval_of(opening).covers(wish.interval):
        raise _Lost(Outcome.CHANGED)
    _lock_and_compare(wish, opening)
    _answer_offer(wish)
    appointment = Appointment.objects.create(
        source_id=opening.source_id,
        patient=wish.patient,
        provider_id=opening.provider_id,
        location_id=opening.location_id,
        appointment_type=wish.appointment_type,
        status=Appointment.Status.PENDING,
        start=wish.start,
        end=wish.end,
        origin=Appointment.Origin.WAITLIST,
        reference=_reference(),
    )
    won = Claim.objects.create(
        opening=opening,
        patient=wish.patient,
        entry=wish.entry,
        offer=wish.offer,
        appointment=appointment,
        channel=wish.channel,
        actor=current_actor().name[:150],
        chase_at=wish.now + min((wish.start - wish.now) / 2, LONGEST_WAIT),
    )
    openings.reserve(opening, wish.start, wish.end)
    writebacks.request_create(appointment, opening, _slots(opening, wish.interval))
    said_by = {STAFF: "Staff took it for a patient", "sms": "The first yes came by text"}
    tell(
        opening,
        "claim.received",
        f"{said_by.get(wish.channel, 'The first yes came through the link')}: not confirmed before the EHR says so.",
        claim_id=won.pk,
        channel=wish.channel,
    )
    telling.received(won, wish.now)
    wake("attention")
    return won


def _reason_now(wish: _Wish) -> Outcome:
    """Return why the conditional UPDATE found nothing, from the row as it is now."""
    wish.opening.refresh_from_db()
    return _reason_at_a_glance(wish) or Outcome.TAKEN


def _lock_and_compare(wish: _Wish, opening: Opening) -> None:
    """Lock the patient and the provider by updating them, then look for anything that overlaps."""
    usable = Patient.objects.filter(pk=wish.patient.pk, active=True, deceased=False, replaced_by__isnull=True)
    usable = usable if wish.by_staff else usable.filter(restricted=False)
    if not usable.update(claim_serial=F("claim_serial") + 1):
        raise _Lost(Outcome.FROZEN)
    Provider.objects.filter(pk=opening.provider_id).update(claim_serial=F("claim_serial") + 1)
    occupying = Appointment.objects.filter(status__in=Appointment.OCCUPYING, start__lt=wish.end, end__gt=wish.start)
    if occupying.filter(provider_id=opening.provider_id).exists():
        raise _Lost(Outcome.FILLED, look_again=True)
    moved = wish.offer.move_up_id if wish.offer else wish.entry.move_up_id if wish.entry else None
    if occupying.filter(patient=wish.patient).exclude(pk=moved or 0).exists():
        raise _Lost(Outcome.OVERLAPS)


def _answer_offer(wish: _Wish) -> None:
    """Turn the patient's offer of this opening, whichever way the yes came, into a yes."""
    if wish.offer is None:
        wish.offer = Offer.objects.filter(opening_id=wish.opening.pk, patient=wish.patient).first()
    if wish.offer is None:
        return
    wish.entry = wish.entry or wish.offer.entry
    if hasattr(wish.offer, "claim") or wish.offer.status == Offer.Status.YES:
        wish.offer = None  # an earlier claim came of it and was refused or released
        return
    live = Q() if wish.by_staff else Q(expires_at__gt=wish.now)
    if not move(wish.offer, Offer.Status.YES, where=live, answered_at=wish.now):
        raise _Lost(Outcome.WITHDRAWN)
    finish_for(call_key(wish.offer), "The patient said yes.")
    entries.heard_from(wish.offer.entry_id)


def _reference() -> str:
    while True:
        reference = "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))
        if not Appointment.objects.filter(reference=reference).exists():
            return reference


def _slots(opening: Opening, wanted: Interval) -> list[str]:
    """Return the EHR's slots that the booking uses up."""
    return [
        slot["id"]
        for slot in opening.slots
        if Interval(datetime.fromisoformat(slot["start"]), datetime.fromisoformat(slot["end"])).overlaps(wanted)
    ]


def _lose(wish: _Wish, outcome: Outcome, *, at_a_glance: bool = False) -> ClaimResult:
    """Tell the loser the truth: their own claim if they have one, and a better place in line if they were late."""
    offer = wish.offer
    unanswered = offer is not None and offer.status == Offer.Status.SENT and offer.answered_at is None
    # Read by one query with its opening, an unanswered offer shows that the claim is somebody else's.
    surely_not_theirs = at_a_glance and unanswered and offer is not None and offer.opening is wish.opening
    if outcome in _MAY_BE_THEIRS and not surely_not_theirs:
        first = Claim.objects.filter(opening_id=wish.opening.pk, state__in=Claim.LIVE).first()
        if first is not None and first.patient_id == wish.patient.pk:
            return ClaimResult(Outcome.ALREADY_YOURS, first)
        if wish.by_staff:
            return ClaimResult(outcome, first)
    if outcome == Outcome.FROZEN:
        _freeze(wish)
    if outcome in (Outcome.TAKEN, Outcome.FILLED) and offer is not None and unanswered:
        mark_late(offer, wish.now)
    return ClaimResult(outcome)


def _freeze(wish: _Wish) -> None:
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
    withdraw(wish.opening, "not_waiting", wish.now, only=Q(patient=wish.patient))


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
