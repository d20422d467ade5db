"""Whether an opening suits somebody who waits, at which time, and why not. Pure: values in, a verdict out.

The same function decides for those offered, for the next in line and for "why not her?", so that what staff read is
what the machine did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from scheduling.records import Interval
from waitlist import plans
from waitlist.facts import Booking, Candidate, Contact, Fit, Need, OpeningFacts
from waitlist.hours import within_windows
from waitlist.pacing import cut_off, within_caps
from waitlist.reasons import Reason

__all__ = ["Candidate", "OpeningFacts", "Reason", "Verdict", "judge", "placements"]

#: Needs that a person has to talk through with the patient before the visit.
PREPARATIONS = frozenset({"fasting", "preparation"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds for one entry and one opening; ``reasons`` has the deciding one first.

    ``start`` and ``end`` are the time offered, None unless eligible. ``needs_staff``: suits, but a person decides or
    talks to the patient first (a proposal, not an offer). ``channels`` are the consented ways for a text or an
    e-mail, the preferred one first; empty for an eligible patient who must be called.
    """

    eligible: bool
    reasons: tuple[Reason, ...]
    type_id: int
    start: datetime | None = None
    end: datetime | None = None
    needs_staff: bool = False
    channels: tuple[Contact, ...] = ()

    @property
    def must_be_called(self) -> bool:
        """Suits, and neither a text nor an e-mail may be sent."""
        return self.eligible and not self.channels

    @property
    def codes(self) -> list[str]:
        """The reasons as stored in CandidateVerdict.reasons."""
        return [reason.value for reason in self.reasons]


def judge(facts: OpeningFacts, candidate: Candidate) -> Verdict:
    """Decide whether ``candidate`` may have the opening.

    The checks run in the order staff would ask them; the first that fails decides and the others that fail follow.
    """
    fit = facts.fit(candidate.type_id)
    failed = [
        *_about_the_person(candidate),
        *_about_the_line(facts, candidate),
        *_about_the_type(fit),
        *_about_the_place(facts, candidate),
    ]
    place: Interval | None = None
    if fit is not None:
        place, misfit = _place(facts, fit, candidate)
        failed.extend(misfit)
        failed.extend(_about_the_plan(facts, candidate, place or Interval(facts.start, facts.end)))
        failed.extend(_about_insurance(facts, fit, candidate, place))
        if not within_caps(candidate.offers_last_day, candidate.offers_last_week, fit.policy):
            failed.append(Reason.CAPS)
        if candidate.silences >= fit.policy.silences_before_asking:
            failed.append(Reason.SILENT)
    channels, unreachable = _channels(facts, candidate)
    failed.extend(unreachable)
    if failed or fit is None or place is None:
        return Verdict(False, tuple(dict.fromkeys(failed)), candidate.type_id)
    cautions = tuple(_cautions(facts, fit, candidate, place))
    if not channels and Reason.TEENAGER not in cautions:
        cautions = (*cautions, Reason.CALL)
    return Verdict(
        True,
        cautions or (Reason.SUITS,),
        candidate.type_id,
        place.start,
        place.end,
        needs_staff=any(caution is not Reason.CALL for caution in cautions),
        channels=channels,
    )


def placements(facts: OpeningFacts, duration: timedelta) -> list[Interval]:
    """Return the times of ``duration`` that may be offered inside the opening, the best first.

    With EHR slots a time begins where a slot begins and is covered by free slots, by a single one where the EHR books
    one slot at a time. Without slots it lies at an edge. Edges come first, since what is left over stays in one piece.
    """
    whole = Interval(facts.start, facts.end)
    starts = [slot.start for slot in sorted(facts.slots)] or [facts.start, facts.end - duration]
    times = [Interval(start, start + duration) for start in dict.fromkeys(starts)]
    free = [time for time in times if whole.covers(time) and _is_bookable(time, facts)]
    return sorted(free, key=lambda time: (time.start != facts.start, time.end != facts.end, time.start))


def _is_bookable(wanted: Interval, facts: OpeningFacts) -> bool:
    if not facts.slots:
        return True
    if facts.books_one_slot:
        return any(slot.covers(wanted) for slot in facts.slots)
    return not wanted.minus(facts.slots)


def _about_the_person(candidate: Candidate) -> Iterator[Reason]:
    if candidate.deceased:
        yield Reason.DECEASED
    if candidate.replaced:
        yield Reason.REPLACED
    if not candidate.active:
        yield Reason.INACTIVE
    if candidate.restricted:
        yield Reason.RESTRICTED


def _about_the_line(facts: OpeningFacts, candidate: Candidate) -> Iterator[Reason]:
    if candidate.status != "waiting":
        yield {"paused": Reason.PAUSED, "asked": Reason.ASKED}.get(candidate.status, Reason.NOT_WAITING)
    if facts.freed_by_patient_id in {candidate.patient_id, *candidate.records}:
        yield Reason.FREED_IT
    if candidate.offer_here == "no" or candidate.declined_this_time:
        yield Reason.DECLINED
    elif candidate.offer_here not in ("", "too_late", "withdrawn"):
        # Somebody who was too late, or whose offer was withdrawn, gets the next fresh one.
        yield Reason.OFFERED_BEFORE
    if candidate.has_live_offer:
        yield Reason.LIVE_OFFER


def _about_the_place(facts: OpeningFacts, candidate: Candidate) -> Iterator[Reason]:
    if candidate.providers and facts.provider_id not in candidate.providers:
        yield Reason.PROVIDER
    if candidate.locations and facts.location_id not in candidate.locations:
        yield Reason.LOCATION


def _about_the_type(fit: Fit | None) -> Iterator[Reason]:
    if fit is None:
        yield Reason.TYPE
    elif not fit.is_on:
        yield Reason.TYPE_OFF


def _place(facts: OpeningFacts, fit: Fit, candidate: Candidate) -> tuple[Interval | None, list[Reason]]:
    """Return the best time inside the opening that suits, or None and what speaks against the best one."""
    possible = placements(facts, fit.duration)
    if not possible:
        return None, [Reason.TOO_SHORT]
    first_misfit: list[Reason] = []
    for place in possible:
        misfit = list(_about_the_time(facts, fit, candidate, place))
        if not misfit:
            return place, []
        first_misfit = first_misfit or misfit
    return None, first_misfit


def _about_the_time(facts: OpeningFacts, fit: Fit, candidate: Candidate, place: Interval) -> Iterator[Reason]:
    day = place.start.astimezone(facts.zone).date()
    lead = place.start - facts.now
    checks: tuple[tuple[Reason, Callable[[], bool]], ...] = (
        (Reason.CUT_OFF, lambda: facts.now > cut_off(place.start, fit.policy, fit.minimum_notice)),
        (Reason.TOO_EARLY, lambda: candidate.earliest_date is not None and day < candidate.earliest_date),
        (Reason.TOO_LATE, lambda: candidate.latest_date is not None and day > candidate.latest_date),
        (Reason.HOURS, lambda: not within_windows(candidate.windows, place, facts.zone)),
        (Reason.NOTICE, lambda: lead < candidate.notice),
        (Reason.NEEDS_NOTICE, lambda: _unready(candidate.needs, lead)),
        (Reason.BUSY, lambda: any(booking.interval.overlaps(place) for booking in candidate.bookings)),
    )
    for reason, fails in checks:
        if fails():
            yield reason


def _unready(needs: tuple[Need, ...], lead: timedelta) -> bool:
    return any(lead < need.notice for need in needs)


def _about_insurance(facts: OpeningFacts, fit: Fit, candidate: Candidate, place: Interval | None) -> Iterator[Reason]:
    if fit.needs_insurance:
        day = (place.start if place else facts.start).astimezone(facts.zone).date()
        if plans.objection(facts, fit, candidate, day) is Reason.INSURANCE:
            yield Reason.INSURANCE


def _about_the_plan(facts: OpeningFacts, candidate: Candidate, place: Interval) -> Iterator[Reason]:
    day = place.start.astimezone(facts.zone).date()
    move_up = candidate.move_up
    if move_up is None:
        if _of_this_type(candidate):
            yield Reason.HAS_APPOINTMENT
    elif not move_up.stands or move_up.start is None:
        yield Reason.MOVE_UP_GONE
    else:
        if move_up.start <= place.start:
            yield Reason.NOT_EARLIER
        if facts.depth >= facts.deepest_chain:
            yield Reason.MOVE_UP_DEPTH
    if candidate.referral_required and (candidate.referral_valid_until is None or candidate.referral_valid_until < day):
        yield Reason.REFERRAL
    valid_until = candidate.authorization_valid_until
    if candidate.authorization_required and (valid_until is None or valid_until < day):
        yield Reason.AUTHORIZATION


def _of_this_type(candidate: Candidate) -> list[Booking]:
    """The patient's upcoming appointments of the type waited for, the one to be moved apart."""
    moving = candidate.move_up.appointment_id if candidate.move_up else None
    return [
        booking
        for booking in candidate.bookings
        if booking.type_id == candidate.type_id and booking.appointment_id != moving
    ]


def _today(facts: OpeningFacts) -> date:
    """Return the day at the location: whom to talk to goes by the age on it, not by the age at the visit."""
    return facts.now.astimezone(facts.zone).date()


def _channels(facts: OpeningFacts, candidate: Candidate) -> tuple[tuple[Contact, ...], list[Reason]]:
    """Return where an offer may be sent, and what makes the patient unreachable altogether, calls included."""
    age = candidate.age_on(_today(facts))
    is_child = age is not None and age < facts.guardian_until_age
    # Whom to talk to about a teenager, and how, is for staff to decide: a parent's number may be all there is.
    is_teenager = age is not None and facts.guardian_until_age <= age < facts.adult_at_age
    contacts = [contact for contact in candidate.contacts if is_teenager or contact.guardian == is_child]
    if is_child and not contacts:
        return (), [Reason.NO_GUARDIAN]
    channels = tuple(contact for contact in contacts if contact.consented and contact.channel in ("sms", "email"))
    if not channels and not any(contact.channel in ("sms", "call") for contact in contacts):
        return (), [Reason.NO_CONTACT]
    if candidate.only_written_to and not channels:
        return (), [Reason.NO_CONSENT]
    return () if is_teenager else channels, []


def _cautions(facts: OpeningFacts, fit: Fit, candidate: Candidate, place: Interval) -> Iterator[Reason]:
    day = place.start.astimezone(facts.zone).date()
    age = candidate.age_on(_today(facts))
    if fit.automation == "staff_confirm":
        yield Reason.STAFF_TYPE
    if not candidate.established:
        yield Reason.NEW_PATIENT
    if age is None:
        yield Reason.AGE_UNKNOWN
    elif age < facts.adult_at_age:
        yield Reason.TEENAGER if age >= facts.guardian_until_age else Reason.MINOR
    if candidate.referral_required or candidate.authorization_required:
        yield Reason.PAPERS
    if plans.objection(facts, fit, candidate, day) is Reason.INSURANCE_UNKNOWN:
        yield Reason.INSURANCE_UNKNOWN
    if any(need.need.lower() in PREPARATIONS for need in candidate.needs):
        yield Reason.PREPARATION
    if candidate.move_up is not None and _of_this_type(candidate):
        yield Reason.SEVERAL
