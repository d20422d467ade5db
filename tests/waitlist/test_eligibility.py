"""Each reason why an opening does not suit, and each caution when it does."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduling.records import Interval
from waitlist.eligibility import judge, placements
from waitlist.facts import Booking, Candidate, Contact, Cover, Fit, MoveUp, Need, OpeningFacts, Window
from waitlist.pacing import Policy
from waitlist.plans import plan_on
from waitlist.reasons import Reason

ZONE = ZoneInfo("America/New_York")
# A Tuesday, 10:00 to 11:00 in New York, seen two days before.
START = datetime(2026, 6, 2, 14, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
HALF = timedelta(minutes=30)
FIT = Fit(type_id=1, duration=HALF)
SMS = Contact(contact_point_id=1, channel="sms", address_index="a", consented=True)
EMAIL = Contact(contact_point_id=2, channel="email", address_index="b", consented=True)
FACTS = OpeningFacts(
    opening_id=9,
    start=START,
    end=END,
    provider_id=5,
    location_id=6,
    zone=ZONE,
    now=START - timedelta(days=2),
    fits=(FIT,),
)
ANYBODY = Candidate(entry_id=1, patient_id=1, type_id=1, birth_date=date(1980, 1, 1), contacts=(SMS, EMAIL))


def somebody(**fields: Any) -> Candidate:
    return replace(ANYBODY, **fields)


def an_opening(**fields: Any) -> OpeningFacts:
    return replace(FACTS, **fields)


def booking(start: datetime, minutes: int = 30, type_id: int = 2, pk: int = 1) -> Booking:
    return Booking(pk, Interval(start, start + timedelta(minutes=minutes)), type_id)


def test_a_time_that_suits_is_offered_at_the_edge() -> None:
    verdict = judge(FACTS, ANYBODY)

    assert verdict.eligible is True
    assert verdict.reasons == (Reason.SUITS,)
    assert (verdict.start, verdict.end) == (START, START + HALF)
    assert verdict.needs_staff is False
    assert verdict.channels == (SMS, EMAIL)
    assert verdict.must_be_called is False


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"deceased": True}, Reason.DECEASED),
        ({"replaced": True}, Reason.REPLACED),
        ({"active": False}, Reason.INACTIVE),
        ({"restricted": True}, Reason.RESTRICTED),
        ({"status": "paused"}, Reason.PAUSED),
        ({"status": "asked"}, Reason.ASKED),
        ({"status": "booked"}, Reason.NOT_WAITING),
        ({"status": "left"}, Reason.NOT_WAITING),
        ({"offer_here": "no"}, Reason.DECLINED),
        ({"declined_this_time": True}, Reason.DECLINED),
        ({"offer_here": "sent"}, Reason.OFFERED_BEFORE),
        ({"offer_here": "proposed"}, Reason.OFFERED_BEFORE),
        ({"offer_here": "expired"}, Reason.OFFERED_BEFORE),
        ({"offer_here": "yes"}, Reason.OFFERED_BEFORE),
        ({"has_live_offer": True}, Reason.LIVE_OFFER),
        ({"type_id": 2}, Reason.TYPE),
        ({"providers": frozenset({4, 7})}, Reason.PROVIDER),
        ({"locations": frozenset({4, 7})}, Reason.LOCATION),
        ({"earliest_date": date(2026, 6, 3)}, Reason.TOO_EARLY),
        ({"latest_date": date(2026, 6, 1)}, Reason.TOO_LATE),
        ({"windows": (Window(0),)}, Reason.HOURS),
        ({"windows": (Window(1, time(10, 1), time(10, 59)),)}, Reason.HOURS),
        ({"notice": timedelta(days=2, minutes=31)}, Reason.NOTICE),
        ({"needs": (Need("interpreter", timedelta(days=3)),)}, Reason.NEEDS_NOTICE),
        ({"bookings": (booking(START - HALF, 120),)}, Reason.BUSY),
        ({"bookings": (booking(START + timedelta(days=9), type_id=1),)}, Reason.HAS_APPOINTMENT),
        ({"move_up": MoveUp(3, START + timedelta(days=9), stands=False)}, Reason.MOVE_UP_GONE),
        ({"move_up": MoveUp(3, None, stands=True)}, Reason.MOVE_UP_GONE),
        ({"move_up": MoveUp(3, START, stands=True)}, Reason.NOT_EARLIER),
        ({"referral_required": True}, Reason.REFERRAL),
        ({"referral_required": True, "referral_valid_until": date(2026, 6, 1)}, Reason.REFERRAL),
        ({"authorization_required": True}, Reason.AUTHORIZATION),
        ({"authorization_required": True, "authorization_valid_until": date(2026, 6, 1)}, Reason.AUTHORIZATION),
        ({"offers_last_day": 2, "offers_last_week": 2}, Reason.CAPS),
        ({"offers_last_week": 5}, Reason.CAPS),
        ({"silences": 3}, Reason.SILENT),
        ({"contacts": ()}, Reason.NO_CONTACT),
        ({"contacts": (replace(EMAIL, consented=False),)}, Reason.NO_CONTACT),
        ({"contacts": (replace(SMS, guardian=True),)}, Reason.NO_CONTACT),
        ({"birth_date": date(2016, 1, 1)}, Reason.NO_GUARDIAN),
    ],
)
def test_what_speaks_against_a_candidate(fields, reason) -> None:
    verdict = judge(FACTS, somebody(**fields))

    assert verdict.eligible is False
    assert verdict.reasons == (reason,)
    assert (verdict.start, verdict.end, verdict.channels) == (None, None, ())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"freed_by_patient_id": 1}, Reason.FREED_IT),
        ({"fits": (replace(FIT, mode="off"),)}, Reason.TYPE_OFF),
        ({"fits": (replace(FIT, automation="never"),)}, Reason.TYPE_OFF),
        ({"fits": (replace(FIT, duration=timedelta(minutes=61)),)}, Reason.TOO_SHORT),
        ({"fits": (replace(FIT, minimum_notice=timedelta(days=3)),)}, Reason.CUT_OFF),
        ({"now": END - timedelta(minutes=89)}, Reason.CUT_OFF),
    ],
)
def test_what_speaks_against_an_opening(fields, reason) -> None:
    verdict = judge(an_opening(**fields), ANYBODY)

    assert verdict.eligible is False
    assert verdict.reasons[0] is reason


def test_the_deciding_reason_comes_first_and_the_others_follow() -> None:
    verdict = judge(
        FACTS, somebody(contacts=(), windows=(Window(0),), deceased=True, locations=frozenset({1}), silences=4)
    )

    assert verdict.reasons == (Reason.DECEASED, Reason.LOCATION, Reason.HOURS, Reason.SILENT, Reason.NO_CONTACT)
    assert verdict.codes == ["deceased", "location", "hours", "silent", "no_contact"]


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"established": False}, (Reason.NEW_PATIENT,)),
        ({"birth_date": date(2010, 6, 3)}, (Reason.TEENAGER,)),
        ({"birth_date": date(2008, 6, 3)}, (Reason.TEENAGER,)),
        ({"birth_date": None}, (Reason.AGE_UNKNOWN,)),
        ({"referral_required": True, "referral_valid_until": date(2026, 6, 2)}, (Reason.PAPERS,)),
        ({"authorization_required": True, "authorization_valid_until": date(2026, 6, 2)}, (Reason.PAPERS,)),
        ({"needs": (Need("Fasting", timedelta(hours=12)),)}, (Reason.PREPARATION,)),
        (
            {
                "move_up": MoveUp(3, START + timedelta(days=9), stands=True),
                "bookings": (
                    booking(START + timedelta(days=9), type_id=1, pk=3),
                    booking(START + timedelta(days=16), type_id=1, pk=4),
                ),
            },
            (Reason.SEVERAL,),
        ),
    ],
)
def test_what_staff_must_confirm(fields, reasons) -> None:
    verdict = judge(FACTS, somebody(**fields))

    assert (verdict.eligible, verdict.needs_staff) == (True, True)
    assert verdict.reasons == reasons
    assert verdict.start == START


def test_types_that_staff_confirm_stay_eligible() -> None:
    verdict = judge(an_opening(fits=(replace(FIT, automation="staff_confirm"),)), ANYBODY)

    assert (verdict.eligible, verdict.needs_staff, verdict.reasons) == (True, True, (Reason.STAFF_TYPE,))


def test_somebody_turning_18_on_the_day_they_are_asked_is_an_adult() -> None:
    assert judge(FACTS, somebody(birth_date=date(2008, 5, 31))).reasons == (Reason.SUITS,)


def test_who_is_18_by_the_visit_and_not_yet_when_asked_is_for_staff() -> None:
    """Whom the machine may write to goes by the day on which it writes."""
    for born in (date(2008, 6, 1), date(2008, 6, 2)):
        verdict = judge(FACTS, somebody(birth_date=born))
        assert (verdict.reasons, verdict.channels) == ((Reason.TEENAGER,), ())


def test_a_child_who_is_12_by_the_visit_is_reached_through_the_guardian_still() -> None:
    guardian = replace(SMS, contact_point_id=3, guardian=True)
    verdict = judge(FACTS, somebody(birth_date=date(2014, 6, 2), contacts=(SMS, guardian)))
    assert (verdict.reasons, verdict.channels) == ((Reason.MINOR,), (guardian,))


def test_it_is_the_day_at_the_location() -> None:
    eve = datetime(2026, 5, 31, 23, 30, tzinfo=ZONE)
    born = date(2008, 6, 1)
    assert judge(an_opening(now=eve), somebody(birth_date=born)).reasons == (Reason.TEENAGER,)
    assert judge(an_opening(now=eve + timedelta(hours=1)), somebody(birth_date=born)).reasons == (Reason.SUITS,)


@pytest.mark.parametrize(
    ("born", "reason", "channels"),
    [
        (date(2014, 6, 1), Reason.MINOR, 1),
        (date(2014, 5, 31), Reason.TEENAGER, 0),
        (date(2008, 6, 1), Reason.TEENAGER, 0),
    ],
)
def test_teenagers_are_nobodys_texts(born, reason, channels) -> None:
    guardian = replace(SMS, contact_point_id=3, guardian=True)
    verdict = judge(FACTS, somebody(birth_date=born, contacts=(SMS, guardian)))

    assert (verdict.eligible, verdict.needs_staff, verdict.reasons) == (True, True, (reason,))
    assert len(verdict.channels) == channels


def test_a_teenager_needs_no_guardian_on_record() -> None:
    assert judge(FACTS, somebody(birth_date=date(2014, 5, 31))).reasons == (Reason.TEENAGER,)


def test_a_parents_number_may_be_all_there_is_of_a_teenager() -> None:
    """Staff decide whom to talk to, so any number that rings will do; an e-mail address alone does not."""
    teenager = somebody(birth_date=date(2010, 6, 3), contacts=(replace(SMS, guardian=True, consented=False),))
    assert judge(FACTS, teenager).reasons == (Reason.TEENAGER,)
    by_mail = replace(teenager, contacts=(replace(EMAIL, guardian=True, consented=False),))
    assert judge(FACTS, by_mail).reasons == (Reason.NO_CONTACT,)


def test_a_child_is_reached_through_a_guardian_only() -> None:
    guardian = replace(SMS, contact_point_id=3, guardian=True)
    verdict = judge(FACTS, somebody(birth_date=date(2016, 1, 1), contacts=(SMS, guardian, EMAIL)))

    assert (verdict.eligible, verdict.needs_staff, verdict.reasons) == (True, True, (Reason.MINOR,))
    assert verdict.channels == (guardian,)


def test_an_adult_is_not_reached_through_a_guardian() -> None:
    verdict = judge(FACTS, somebody(contacts=(replace(SMS, guardian=True), EMAIL)))

    assert verdict.channels == (EMAIL,)


@pytest.mark.parametrize(
    "contact",
    [replace(SMS, consented=False), replace(SMS, channel="call", consented=False), replace(SMS, channel="call")],
)
def test_somebody_with_a_phone_but_no_consented_channel_is_called(contact) -> None:
    verdict = judge(FACTS, somebody(contacts=(contact, replace(EMAIL, consented=False))))

    assert (verdict.eligible, verdict.needs_staff, verdict.must_be_called) == (True, False, True)
    assert verdict.reasons == (Reason.CALL,)
    assert verdict.channels == ()


@pytest.mark.parametrize("status", ["too_late", "withdrawn"])
def test_who_was_too_late_or_withdrawn_gets_the_next_fresh_offer(status) -> None:
    assert judge(FACTS, somebody(offer_here=status)).eligible is True


def test_needs_other_than_preparation_do_not_ask_for_staff() -> None:
    verdict = judge(FACTS, somebody(needs=(Need("interpreter", timedelta(hours=24)),)))

    assert verdict.reasons == (Reason.SUITS,)


def test_bounds_that_are_just_met() -> None:
    verdict = judge(
        an_opening(now=START - timedelta(hours=1)),
        somebody(
            providers=frozenset({5, 8}),
            locations=frozenset({6}),
            earliest_date=date(2026, 6, 2),
            latest_date=date(2026, 6, 2),
            windows=(Window(1, time(10), time(10, 30)),),
            notice=timedelta(hours=1),
            needs=(Need("escort", timedelta(hours=1)),),
            bookings=(booking(START - HALF), booking(START + HALF)),
            offers_last_day=1,
            offers_last_week=4,
            silences=2,
        ),
    )

    assert verdict.eligible is True
    assert (verdict.start, verdict.end) == (START, START + HALF)


def test_a_move_up_names_its_appointment_and_needs_no_other() -> None:
    later = START + timedelta(days=9)
    verdict = judge(FACTS, somebody(move_up=MoveUp(3, later, stands=True), bookings=(booking(later, type_id=1, pk=3),)))

    assert (verdict.eligible, verdict.reasons) == (True, (Reason.SUITS,))


def test_a_move_up_is_compared_with_the_time_that_is_left_for_it() -> None:
    """The first half hour is earlier than what they have, and they cannot come then."""
    busy = (booking(START, 15),)

    has_it_then = somebody(bookings=busy, move_up=MoveUp(3, START + HALF, stands=True))
    assert judge(FACTS, has_it_then).reasons == (Reason.NOT_EARLIER,)
    has_it_later = somebody(bookings=busy, move_up=MoveUp(3, END, stands=True))
    assert judge(FACTS, has_it_later).start == START + HALF


def test_a_chain_of_move_ups_ends() -> None:
    mover = somebody(move_up=MoveUp(3, START + timedelta(days=9), stands=True))

    assert judge(an_opening(depth=2), mover).eligible is True
    assert judge(an_opening(depth=3), mover).reasons == (Reason.MOVE_UP_DEPTH,)
    assert judge(an_opening(depth=3), ANYBODY).eligible is True
    assert judge(an_opening(depth=1, deepest_chain=1), mover).reasons == (Reason.MOVE_UP_DEPTH,)


def test_whom_staff_talk_to_goes_by_the_practice_s_ages() -> None:
    born = date(2008, 5, 31)  # 18 today
    assert judge(FACTS, somebody(birth_date=born)).reasons == (Reason.SUITS,)
    assert judge(an_opening(adult_at_age=19), somebody(birth_date=born)).reasons == (Reason.TEENAGER,)
    child = somebody(birth_date=date(2013, 1, 1))
    assert judge(FACTS, child).reasons == (Reason.TEENAGER,)
    assert judge(an_opening(guardian_until_age=14), child).reasons == (Reason.NO_GUARDIAN,)


def test_the_second_edge_is_offered_when_the_first_does_not_suit() -> None:
    verdict = judge(FACTS, somebody(bookings=(booking(START, 15),)))

    assert (verdict.start, verdict.end) == (START + HALF, END)


def test_why_not_is_said_of_the_first_edge() -> None:
    verdict = judge(FACTS, somebody(bookings=(booking(START, 15),), windows=(Window(1, time(10), time(10, 30)),)))

    assert verdict.reasons == (Reason.BUSY,)


def test_a_later_edge_gives_the_notice_that_the_first_does_not() -> None:
    verdict = judge(FACTS, somebody(notice=timedelta(days=2, minutes=30)))

    assert verdict.start == START + HALF


def test_a_policy_of_the_type_counts() -> None:
    strict = an_opening(fits=(replace(FIT, policy=Policy(offers_per_day=1, silences_before_asking=1)),))

    assert judge(strict, somebody(offers_last_day=1)).reasons == (Reason.CAPS,)
    assert judge(strict, somebody(silences=1)).reasons == (Reason.SILENT,)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (datetime(2026, 3, 1, 15, tzinfo=UTC), datetime(2026, 3, 8, 14, tzinfo=UTC)),
        (datetime(2026, 10, 25, 14, tzinfo=UTC), datetime(2026, 11, 1, 15, tzinfo=UTC)),
    ],
)
def test_windows_follow_the_wall_clock_on_both_sides_of_a_clock_change(before: datetime, after: datetime) -> None:
    window = (Window(6, time(10), time(10, 30)),)
    for start in (before, after):
        facts = an_opening(start=start, end=start + HALF, now=start - timedelta(days=1))
        assert judge(facts, somebody(windows=window)).start == start
    wrong = before + timedelta(days=7)
    facts = an_opening(start=wrong, end=wrong + HALF, now=wrong - timedelta(days=1))
    assert judge(facts, somebody(windows=window)).reasons == (Reason.HOURS,)


def test_a_visit_that_ends_a_second_after_the_hours_does_not_suit() -> None:
    facts = an_opening(fits=(replace(FIT, duration=HALF + timedelta(seconds=1)),))

    assert judge(facts, somebody(windows=(Window(1, time(10), time(10, 30)),))).reasons == (Reason.HOURS,)


def test_a_visit_across_midnight_suits_nobody_with_hours() -> None:
    start = datetime(2026, 6, 3, 3, 45, tzinfo=UTC)  # 23:45 on Tuesday
    facts = an_opening(start=start, end=start + HALF)

    assert judge(facts, somebody(windows=(Window(1), Window(2)))).reasons == (Reason.HOURS,)
    assert judge(facts, ANYBODY).eligible is True


def test_hours_until_the_end_of_the_day_include_its_last_minute() -> None:
    start = datetime(2026, 6, 3, 3, 30, tzinfo=UTC)  # 23:30 to midnight on Tuesday
    facts = an_opening(start=start, end=start + HALF)

    assert judge(facts, somebody(windows=(Window(1, time(23), time(23, 59)),))).eligible is True


def slots(*starts: int, minutes: int = 15) -> tuple[Interval, ...]:
    return tuple(Interval(START + timedelta(minutes=at), START + timedelta(minutes=at + minutes)) for at in starts)


def offered(facts: OpeningFacts, minutes: int) -> list[int]:
    return [(time.start - START) // timedelta(minutes=1) for time in placements(facts, timedelta(minutes=minutes))]


def test_without_slots_times_lie_at_the_edges() -> None:
    assert offered(FACTS, 30) == [0, 30]
    assert offered(FACTS, 40) == [0, 20]
    assert offered(FACTS, 60) == [0]
    assert offered(FACTS, 61) == []


def test_with_slots_times_begin_at_a_slot_and_are_covered_by_free_ones() -> None:
    facts = an_opening(slots=slots(0, 15, 30, 45))

    assert offered(facts, 30) == [0, 30, 15]
    assert offered(facts, 60) == [0]
    assert offered(an_opening(slots=slots(0, 15, 45)), 30) == [0]
    assert offered(an_opening(slots=slots(15, 30)), 30) == [15]


def test_an_ehr_that_books_one_slot_gets_times_that_fit_one() -> None:
    facts = an_opening(slots=slots(0, 30, minutes=30), books_one_slot=True)

    assert offered(facts, 30) == [0, 30]
    assert offered(facts, 20) == [0, 30]
    assert offered(facts, 45) == []


def test_slots_outside_the_opening_are_not_used() -> None:
    assert offered(an_opening(slots=slots(-15, 45, 60)), 15) == [45]


@pytest.mark.parametrize(
    ("needed", "plan", "taken", "eligible", "reason"),
    [
        (True, 7, {7, 8}, True, Reason.SUITS),
        (True, 9, {7, 8}, False, Reason.INSURANCE),
        (True, None, {7, 8}, True, Reason.INSURANCE_UNKNOWN),
        (True, 7, set(), True, Reason.INSURANCE_UNKNOWN),
        (False, None, set(), True, Reason.SUITS),
        (False, 9, {7, 8}, True, Reason.SUITS),
    ],
)
def test_a_visit_that_needs_insurance_asks_for_a_plan_the_provider_takes(
    needed: bool, plan: int | None, taken: set[int], eligible: bool, reason: Reason
) -> None:
    opening = an_opening(fits=(replace(FIT, needs_insurance=needed),), plans=frozenset(taken))
    verdict = judge(opening, somebody(plan_id=plan))
    assert (verdict.eligible, verdict.reasons) == (eligible, (reason,))
    assert verdict.needs_staff is (reason is Reason.INSURANCE_UNKNOWN)
    too_long = replace(opening, fits=(replace(opening.fits[0], duration=timedelta(hours=2)),))
    objection = (Reason.INSURANCE,) if reason is Reason.INSURANCE else ()
    assert judge(too_long, somebody(plan_id=plan)).reasons == (Reason.TOO_SHORT, *objection)


ONE, OTHER = 7, 9


@pytest.mark.parametrize(
    ("covers", "plan"),
    [
        ((), None),
        ((Cover(ONE),), ONE),
        ((Cover(None),), None),
        # The one that applies first counts, whatever their order here.
        ((Cover(OTHER, 2), Cover(ONE, 1)), ONE),
        ((Cover(None, 1), Cover(ONE, 2)), None),
        # Nobody knows which applies first: a plan only where all are of it.
        ((Cover(ONE), Cover(OTHER)), None),
        ((Cover(ONE, 1), Cover(OTHER)), None),
        ((Cover(ONE, 1), Cover(OTHER, 1)), None),
        ((Cover(ONE), Cover(ONE, 1)), ONE),
        ((Cover(ONE), Cover(None)), None),
        # What is over or to come does not count on the day.
        ((Cover(ONE, 1, valid_until=date(2026, 3, 9)), Cover(OTHER, 2)), OTHER),
        ((Cover(ONE, 1, valid_until=date(2026, 3, 10)), Cover(OTHER, 2)), ONE),
        ((Cover(ONE, 1, valid_from=date(2026, 3, 11)), Cover(OTHER, 2)), OTHER),
        ((Cover(ONE, 1, valid_from=date(2026, 3, 10)), Cover(OTHER, 2)), ONE),
    ],
)
def test_which_of_several_insurances_counts(covers: tuple[Cover, ...], plan: int | None) -> None:
    assert plan_on(None, covers, date(2026, 3, 10)) == plan
    assert plan_on(3, covers, date(2026, 3, 10)) == 3  # what staff entered


def test_the_plan_that_counts_is_that_of_the_visits_own_day() -> None:
    opening = an_opening(fits=(replace(FIT, needs_insurance=True),), plans=frozenset({ONE}))
    day = opening.start.astimezone(opening.zone).date()
    until = (Cover(ONE, valid_until=day),)
    assert judge(opening, somebody(covers=until)).reasons == (Reason.SUITS,)
    over = (Cover(ONE, valid_until=day - timedelta(days=1)), Cover(OTHER, valid_from=day))
    assert judge(opening, somebody(covers=over)).reasons == (Reason.INSURANCE,)
    assert judge(opening, somebody(covers=over[:1])).reasons == (Reason.INSURANCE_UNKNOWN,)
