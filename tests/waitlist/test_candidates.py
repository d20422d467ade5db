"""Candidates as they are read from the database."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from scheduling.models import Appointment, ContactPoint, Coverage, Plan
from scheduling.records import Interval
from tests import factories as make
from waitlist import candidates, entries
from waitlist.facts import Booking, MoveUp, Need, Window
from waitlist.models import Channel, Message, Offer, WaitlistEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene():
    class Scene:
        place = make.location(make.LOS_ANGELES)
        provider = make.provider()
        kind = make.appointment_type(30, minimum_notice_minutes=45)

    make.bookable(Scene.provider, Scene.place, Scene.kind, duration_minutes=40)
    Scene.opening = make.opening(Scene.provider, Scene.place, minutes=60)
    return Scene


def load_one(scene, entry: WaitlistEntry, now: datetime | None = None):
    facts = candidates.facts_for(scene.opening, now)
    return candidates.load([entry.pk], facts)[0]


def text_of(offer: Offer, status: str) -> Message:
    contact = offer.patient.contact_points.get(system="phone")
    return Message.objects.create(
        kind="offer",
        channel="sms",
        patient=offer.patient,
        contact_point=contact,
        offer=offer,
        address=contact.value,
        address_index=contact.address_index,
        body="An opening",
        status=status,
        dedupe_key=f"test:{offer.pk}:{offer.messages.count()}",
        due_at=offer.created_at,
    )


def test_an_opening_knows_what_fits_it(scene) -> None:
    gone = make.appointment_type(active=False)
    make.bookable(scene.provider, scene.place, gone)
    make.bookable(make.provider(), scene.place, make.appointment_type())
    staff = make.appointment_type(automation="staff_confirm")
    make.bookable(scene.provider, scene.place, staff, mode="ask_first")
    make.policy(appointment_type=staff, offers_per_day=1)
    start, end = scene.opening.start, scene.opening.start + timedelta(minutes=15)
    scene.opening.slots = [{"id": "s1", "start": start.isoformat(), "end": end.isoformat()}]
    scene.opening.freed_by = make.appointment(make.patient())

    facts = candidates.facts_for(scene.opening)

    assert [(fit.type_id, fit.duration, fit.automation, fit.mode) for fit in facts.fits] == [
        (scene.kind.pk, timedelta(minutes=40), "automatic", "automatic"),
        (staff.pk, timedelta(minutes=30), "staff_confirm", "ask_first"),
    ]
    assert facts.fits[0].minimum_notice == timedelta(minutes=45)
    assert facts.fits[1].policy.offers_per_day == 1
    assert facts.zone == ZoneInfo(make.LOS_ANGELES)
    assert facts.slots == (Interval(start, end),)
    assert facts.books_one_slot is False
    assert facts.freed_by_patient_id == scene.opening.freed_by.patient_id


def test_everything_an_entry_says_is_there(scene) -> None:
    patient = make.patient(language="es", time_zone="America/Denver", established=False, restricted=True)
    later = make.appointment(patient, type=scene.kind, start=make.in_days(9))
    other = make.provider()
    entry = entries.add(
        patient,
        scene.kind,
        providers=[other],
        locations=[scene.place],
        windows=[make.window(3, time(9), time(10))],
        earliest_date=date(2030, 1, 1),
        latest_date=date(2030, 2, 1),
        minimum_notice_minutes=30,
        needs=[{"need": "interpreter", "notice_minutes": 60}, {"need": "escort"}],
        referral_required=True,
        referral_valid_until=date(2030, 3, 1),
        authorization_required=True,
        authorization_valid_until=date(2030, 4, 1),
        move_up=later,
        urgency=1,
        lost_races=2,
        silences=1,
    )

    found = load_one(scene, entry)

    assert (found.entry_id, found.patient_id, found.type_id) == (entry.pk, patient.pk, scene.kind.pk)
    assert (found.status, found.urgency, found.lost_races, found.silences) == ("waiting", 1, 2, 1)
    assert (found.providers, found.locations) == (frozenset({other.pk}), frozenset({scene.place.pk}))
    assert found.windows == (Window(3, time(9), time(10)),)
    assert (found.earliest_date, found.latest_date) == (date(2030, 1, 1), date(2030, 2, 1))
    assert (found.notice, found.needs) == (
        timedelta(minutes=30),
        (Need("interpreter", timedelta(hours=1)), Need("escort", timedelta(0))),
    )
    assert (found.referral_required, found.referral_valid_until) == (True, date(2030, 3, 1))
    assert (found.authorization_required, found.authorization_valid_until) == (True, date(2030, 4, 1))
    assert found.move_up == MoveUp(later.pk, later.start, stands=True)
    assert found.bookings == (Booking(later.pk, Interval(later.start, later.end), scene.kind.pk),)
    assert (found.birth_date, found.established, found.restricted) == (date(1980, 1, 1), False, True)
    assert (found.language, found.time_zone) == ("es", "America/Denver")
    assert found.only_written_to is False


def test_an_entry_that_came_of_a_booking_is_only_written_to(scene) -> None:
    entry = make.entry(make.patient(), scene.kind, origin=WaitlistEntry.Origin.BOOKING)

    assert load_one(scene, entry).only_written_to is True


def test_whose_language_nobody_knows_is_written_to_in_english(scene) -> None:
    assert load_one(scene, make.entry(make.patient(language=""), scene.kind)).language == "en"


def test_an_opening_is_judged_as_of_the_time_given(scene) -> None:
    now = make.in_days(1)

    assert candidates.facts_for(scene.opening, now).now == now


def test_only_appointments_ahead_that_take_time_are_bookings(scene) -> None:
    patient = make.patient()
    now = timezone.now()
    for status in Appointment.Status:
        make.appointment(patient, status=status)
    make.appointment(patient, start=now - timedelta(hours=2))
    running = make.appointment(patient, start=now - timedelta(minutes=10))

    found = load_one(scene, make.entry(patient, scene.kind), now)

    statuses = Appointment.objects.filter(pk__in=[booking.appointment_id for booking in found.bookings])
    assert set(statuses.values_list("status", flat=True)) == {
        "pending",
        "booked",
        "arrived",
        "checked-in",
        "fulfilled",
    }
    assert running.pk in {booking.appointment_id for booking in found.bookings}


def test_contacts_come_in_the_order_of_their_rank(scene) -> None:
    patient = make.patient(phone=None, email=None)
    last = make.contact(patient, "+12125550190", rank=9)
    landline = make.contact(patient, "+12125550191", rank=1, can_text=False, consent=False)
    mail = make.contact(patient, "someone@example.org", rank=2)
    mobile = make.contact(patient, "+12125550192", rank=2, consent=False)

    found = load_one(scene, make.entry(patient, scene.kind))

    assert [(each.contact_point_id, each.channel, each.consented) for each in found.contacts] == [
        (landline.pk, "call", False),
        (mobile.pk, "sms", False),
        (mail.pk, "email", True),
        (last.pk, "sms", True),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": ContactPoint.State.INVALID},
        {"state": ContactPoint.State.FROZEN},
        {"use": "old"},
        {"valid_until": date(2020, 1, 1)},
        {"valid_from": date(2999, 1, 1)},
    ],
)
def test_contacts_that_are_not_usable_are_left_out(scene, fields) -> None:
    patient = make.patient(phone=None, email=None)
    make.contact(patient, "+12125550190", **fields)

    assert load_one(scene, make.entry(patient, scene.kind)).contacts == ()


def test_a_stop_from_a_shared_phone_silences_both_patients(scene) -> None:
    first, second = make.patient(phone="+12125550111"), make.patient(phone="+12125550111")
    both = [make.entry(first, scene.kind), make.entry(second, scene.kind)]
    make.consents(first.contact_points.get(system="phone"), "revoked")

    for entry in both:
        consented = {each.channel: each.consented for each in load_one(scene, entry).contacts}
        assert consented == {"sms": False, "email": True}


def test_consent_to_texts_is_not_consent_to_e_mail(scene) -> None:
    patient = make.patient(consent=[Channel.SMS])

    found = load_one(scene, make.entry(patient, scene.kind))

    assert {each.channel: each.consented for each in found.contacts} == {"sms": True, "email": False}


def test_offers_of_the_last_day_and_week_are_counted(scene) -> None:
    patient = make.patient()
    entry = make.entry(patient, scene.kind)
    now = timezone.now()
    for age, status in (
        (timedelta(hours=1), Offer.Status.EXPIRED),
        (timedelta(hours=23), Offer.Status.WITHDRAWN),
        (timedelta(hours=25), Offer.Status.NO),
        (timedelta(days=6), Offer.Status.TOO_LATE),
        (timedelta(days=8), Offer.Status.EXPIRED),
        (timedelta(hours=2), Offer.Status.PROPOSED),
    ):
        offer = make.offer(make.opening(scene.provider, scene.place, start=make.in_days(20)), entry, status=status)
        Offer.objects.filter(pk=offer.pk).update(created_at=now - age)

    found = load_one(scene, entry, now)

    assert (found.offers_last_day, found.offers_last_week) == (2, 4)
    assert (found.has_live_offer, found.offer_here, found.declined_this_time) == (False, "", False)


@pytest.mark.parametrize(
    ("status", "messages", "counted"),
    [
        ("withdrawn", ["suppressed", "suppressed"], 0),
        ("expired", ["suppressed"], 0),
        ("withdrawn", ["suppressed", "sent"], 1),
        ("withdrawn", ["unknown"], 1),
        ("expired", ["failed"], 1),
        ("withdrawn", [], 1),
        ("sent", ["suppressed"], 1),
        ("no", ["suppressed"], 1),
    ],
    ids=["none left", "none left in time", "one left", "may have left", "call", "by call", "still open", "answered"],
)
def test_an_offer_that_was_over_before_it_was_heard_of_is_none(scene, status, messages, counted) -> None:
    """So a time that is taken back before the morning's texts costs nobody a place among the day's offers."""
    entry = make.entry(make.patient(), scene.kind)
    offer = make.offer(make.opening(scene.provider, scene.place, start=make.in_days(20)), entry, status=status)
    for state in messages:
        text_of(offer, state)

    found = load_one(scene, entry)

    assert (found.offers_last_day, found.offers_last_week) == (counted, counted)


def test_an_offer_made_again_is_heard_of_by_its_own_messages(scene) -> None:
    entry = make.entry(make.patient(), scene.kind)
    offer = make.offer(make.opening(scene.provider, scene.place, start=make.in_days(20)), entry, status="withdrawn")
    earlier = text_of(offer, "sent")
    Message.objects.filter(pk=earlier.pk).update(created_at=offer.created_at - timedelta(hours=3))
    text_of(offer, "suppressed")

    assert load_one(scene, entry).offers_last_day == 0


def test_an_open_offer_of_another_time_is_known_however_old(scene) -> None:
    entry = make.entry(make.patient(), scene.kind)
    offer = make.offer(make.opening(scene.provider, scene.place, start=make.in_days(20)), entry)
    Offer.objects.filter(pk=offer.pk).update(created_at=timezone.now() - timedelta(days=30))

    assert load_one(scene, entry).has_live_offer is True


def test_the_offer_of_this_opening_is_known_by_its_status(scene) -> None:
    entry = make.entry(make.patient(), scene.kind)
    make.offer(scene.opening, entry, status=Offer.Status.TOO_LATE)

    found = load_one(scene, entry)

    assert (found.offer_here, found.has_live_offer) == ("too_late", False)


def test_a_no_to_the_same_time_is_remembered_when_it_is_free_again(scene) -> None:
    entry, elsewhere = make.entry(make.patient(), scene.kind), make.entry(make.patient(), scene.kind)
    before = make.opening(scene.provider, scene.place, start=scene.opening.start)
    make.offer(before, entry, status=Offer.Status.NO)
    with_another = make.opening(make.provider(), scene.place, start=scene.opening.start)
    make.offer(with_another, elsewhere, status=Offer.Status.NO)

    assert load_one(scene, entry).declined_this_time is True
    assert load_one(scene, elsewhere).declined_this_time is False


def test_silence_or_a_no_to_the_time_before_or_after_is_no_no_to_this_one(scene) -> None:
    entry = make.entry(make.patient(), scene.kind)
    for start, status in (
        (scene.opening.start, Offer.Status.EXPIRED),
        (scene.opening.start - timedelta(minutes=30), Offer.Status.NO),
        (scene.opening.end, Offer.Status.NO),
    ):
        make.offer(make.opening(scene.provider, scene.place, start=start), entry, status=status)

    assert load_one(scene, entry).declined_this_time is False


def test_the_number_of_queries_does_not_depend_on_the_number_of_entries(scene, django_assert_num_queries) -> None:
    waiting = [make.entry(make.patient(), scene.kind, windows=[make.window(1)]).pk for _ in range(12)]
    facts = candidates.facts_for(scene.opening)

    with django_assert_num_queries(9):
        assert len(candidates.load(waiting[:1], facts)) == 1
    with django_assert_num_queries(9):
        loaded = candidates.load(waiting, facts)

    assert [each.entry_id for each in loaded] == waiting


def test_entries_that_are_gone_are_left_out_and_the_order_is_kept(scene) -> None:
    first, second = (make.entry(make.patient(), scene.kind) for _ in range(2))
    facts = candidates.facts_for(scene.opening)

    loaded = candidates.load([second.pk, 999_999, first.pk], facts)

    assert [each.entry_id for each in loaded] == [second.pk, first.pk]


def test_plans_are_read_where_a_visit_needs_one(scene) -> None:
    plan = Plan.objects.create(code="acme", name="Acme PPO")
    scene.provider.plans.add(plan)
    make.provider().plans.add(Plan.objects.create(code="other", name="Another's"))
    entry = make.entry(make.patient(), scene.kind, plan=plan)
    assert candidates.facts_for(scene.opening).plans == frozenset()
    scene.kind.needs_insurance = True
    scene.kind.save()
    facts = candidates.facts_for(scene.opening)
    (candidate,) = candidates.load([entry.pk], facts)
    assert (facts.plans, facts.fits[0].needs_insurance, candidate.plan_id) == ({plan.pk}, True, plan.pk)


def test_what_the_ehr_says_of_insurance_is_read_by_one_more_query_where_a_visit_needs_it(
    scene, django_assert_num_queries
) -> None:
    plan = Plan.objects.create(code="acme", name="Acme PPO")
    entries_ = [make.entry(make.patient(), scene.kind) for _ in range(3)]
    for number, entry in enumerate(entries_[:2]):
        Coverage.objects.create(
            patient=entry.patient, source=make.source(), external_id=f"c-{number}", code="A", plan=plan, position=1
        )
    keys = [entry.pk for entry in entries_]
    assert all(each.covers == () for each in candidates.load(keys, candidates.facts_for(scene.opening)))
    scene.kind.needs_insurance = True
    scene.kind.save()
    facts = candidates.facts_for(scene.opening)
    with django_assert_num_queries(10):
        loaded = candidates.load(keys, facts)
    assert [[(cover.plan_id, cover.position) for cover in each.covers] for each in loaded] == [
        [(plan.pk, 1)],
        [(plan.pk, 1)],
        [],
    ]
