"""Winning a time: the conditional UPDATE that decides, the locks, and the rows that a first yes leaves behind."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, models, transaction
from django.db.models import F, Q

from audit.context import current_actor
from scheduling import families, openings, shadow, writebacks
from scheduling.contention import is_deadlock
from scheduling.models import Appointment, AppointmentType, Opening, Patient, Provider
from scheduling.records import Interval
from scheduling.story import tell
from scheduling.transitions import move
from scheduling.wake import wake
from scheduling.worklist import finish_for
from waitlist import entries, telling
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.offering import call_key
from waitlist.policies import policy_for

#: Read aloud on the phone, none of these is taken for another.
REFERENCE_ALPHABET = "ACDEFGHJKMNPQRTUVWXY34679"
REFERENCE_LENGTH = 6
#: Seconds before a claim that was ended that way is tried again, up to half as long again: whoever the claim gave way
#: to must get its turn first, else both meet in the same circle a second time.
PAUSES = (0.1, 0.4, 1.0)
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


@dataclass(slots=True)
class Wish:
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


class Lost(Exception):
    """Carries the outcome past the rollback."""

    def __init__(self, outcome: Outcome, *, look_again: bool = False) -> None:
        self.outcome = outcome
        self.look_again = look_again


def win(wish: Wish) -> Claim:
    """Run the claim's transaction; again, after a pause, when the database ended it to resolve a deadlock."""
    for pause in PAUSES:
        try:
            return _book_at_once(wish)
        except OperationalError as error:
            if not is_deadlock(error):
                raise
        time.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 - spreads load, guards nothing
    return _book_at_once(wish)


def _book_at_once(wish: Wish) -> Claim:
    with transaction.atomic():
        return _book(wish)


def reason_at_a_glance(wish: Wish) -> Outcome | None:
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
    # What was taken back stays so however staff decide about the time: its patient was told, and gets another offer.
    if opening.held and (offer is None or offer.status != Offer.Status.WITHDRAWN):
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


def _book(wish: Wish) -> Claim:
    opening = openings.take(wish.opening.pk, by_staff=wish.by_staff, now=wish.now)
    if opening is None:
        raise Lost(_reason_now(wish))
    if shadow.is_on(opening.source_id):
        raise Lost(Outcome.HELD)
    if not openings.interval_of(opening).covers(wish.interval):
        raise Lost(Outcome.CHANGED)
    _lock_and_compare(wish, opening)
    _answer_offer(wish)
    appointment = _pending_appointment(wish, opening)
    longest_wait = policy_for(opening.location_id, wish.appointment_type.pk).hear_by
    won = Claim.objects.create(
        opening=opening,
        patient=wish.patient,
        entry=wish.entry,
        offer=wish.offer,
        appointment=appointment,
        channel=wish.channel,
        actor=current_actor().name[:150],
        chase_at=wish.now + min((wish.start - wish.now) / 2, longest_wait),
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


def _pending_appointment(wish: Wish, opening: Opening) -> Appointment:
    """Keep the time for the patient until the EHR has said whether it books it."""
    return Appointment.objects.create(
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


def _reason_now(wish: Wish) -> Outcome:
    """Return why the conditional UPDATE found nothing, from the row as it is now."""
    wish.opening.refresh_from_db()
    return reason_at_a_glance(wish) or Outcome.TAKEN


def _lock_and_compare(wish: Wish, opening: Opening) -> None:
    """Lock the patient and the provider by updating them, then look for anything that overlaps."""
    usable = Patient.objects.filter(pk=wish.patient.pk, active=True, deceased=False, replaced_by__isnull=True)
    usable = usable if wish.by_staff else usable.filter(restricted=False)
    if not usable.update(claim_serial=F("claim_serial") + 1):
        raise Lost(Outcome.FROZEN)
    Provider.objects.filter(pk=opening.provider_id).update(claim_serial=F("claim_serial") + 1)
    occupying = Appointment.objects.filter(status__in=Appointment.OCCUPYING, start__lt=wish.end, end__gt=wish.start)
    if occupying.filter(provider_id=opening.provider_id).exists():
        raise Lost(Outcome.FILLED, look_again=True)
    moved = wish.offer.move_up_id if wish.offer else wish.entry.move_up_id if wish.entry else None
    if occupying.filter(patient__in=families.records_of_one(wish.patient.pk)).exclude(pk=moved or 0).exists():
        raise Lost(Outcome.OVERLAPS)


def _answer_offer(wish: Wish) -> None:
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
        raise Lost(Outcome.WITHDRAWN)
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
