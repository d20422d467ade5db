"""Entries and the match keys that follow them."""

from datetime import date, datetime, time, timedelta

import pytest
from auditlog.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.context import Actor, acting_as
from scheduling import writebacks
from scheduling.exceptions import IllegalTransition
from scheduling.models import Appointment, Opening
from tests import factories as make
from waitlist import entries
from waitlist.models import MatchKey, Offer, WaitlistEntry

pytestmark = pytest.mark.django_db


def keys_of(entry: WaitlistEntry) -> list[tuple[int, int, int, int, int]]:
    return sorted(
        MatchKey.objects.filter(entry=entry).values_list(
            "provider_key", "location_key", "weekday_key", "from_minute", "until_minute"
        )
    )


def test_somebody_who_takes_anything_has_one_key() -> None:
    entry = entries.add(make.patient(), make.appointment_type(), minimum_notice_minutes=90)

    assert keys_of(entry) == [(0, 0, 7, 0, 1440)]
    key = MatchKey.objects.get(entry=entry)
    assert (key.urgency, key.moving_up, key.races_won_by_others, key.notice_minutes) == (2, False, 0, 90)
    assert key.joined_at == entry.joined_at


def test_each_provider_location_and_stretch_of_hours_has_a_key() -> None:
    first, second, place = make.provider(), make.provider(), make.location()
    entry = entries.add(
        make.patient(),
        make.appointment_type(),
        providers=[first, second],
        locations=[place],
        windows=[
            make.window(0, time(9), time(12)),
            make.window(0, time(11), time(13)),
            make.window(4),
        ],
    )

    assert keys_of(entry) == [
        (first.pk, place.pk, 0, 540, 780),
        (first.pk, place.pk, 4, 0, 1440),
        (second.pk, place.pk, 0, 540, 780),
        (second.pk, place.pk, 4, 0, 1440),
    ]


def test_the_same_hours_every_day_need_one_key() -> None:
    week = [make.window(day, time(17), time(20)) for day in range(7)]
    entry = entries.add(make.patient(), make.appointment_type(), windows=week)

    assert keys_of(entry) == [(0, 0, 7, 1020, 1200)]


def test_the_longest_notice_of_patient_and_needs_counts() -> None:
    needs = [{"need": "interpreter", "notice_minutes": 1440}, {"need": "escort"}]
    entry = entries.add(make.patient(), make.appointment_type(), minimum_notice_minutes=60, needs=needs)

    assert MatchKey.objects.get(entry=entry).notice_minutes == 1440
    assert MatchKey.objects.get(entry=entries.change(entry, needs=needs[1:])).notice_minutes == 60
    unhurried = entries.change(entry, needs=needs[1:], minimum_notice_minutes=0)
    assert MatchKey.objects.get(entry=unhurried).notice_minutes == 0


def test_who_added_the_entry_is_kept_and_audited() -> None:
    with acting_as(Actor.for_service("import")):
        entry = entries.add(make.patient(), make.appointment_type())

    assert entry.added_by == "import"
    assert LogEntry.objects.get_for_object(entry).get().action == LogEntry.Action.CREATE


def test_nobody_waits_twice_for_a_type() -> None:
    patient, kind = make.patient(), make.appointment_type()
    entries.add(patient, kind)

    with pytest.raises(entries.AlreadyWaiting, match="on the waitlist for this type of visit already"):
        entries.add(patient, kind)

    assert WaitlistEntry.objects.count() == MatchKey.objects.count() == 1
    entries.add(patient, make.appointment_type())


def test_what_cannot_be_stored_is_not_said_to_be_on_the_list_already() -> None:
    patient, kind = make.patient(), make.appointment_type()
    entries.leave(entries.add(patient, kind))
    entries.add(patient, make.appointment_type())
    entries.add(make.patient(), kind)

    with pytest.raises(entries.EntryRefused, match="could not be stored as given"):
        entries.add(patient, kind, urgency=None)


def test_dates_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(entries.EntryRefused, match="latest date lies before"):
        entries.add(
            make.patient(), make.appointment_type(), earliest_date=date(2030, 1, 2), latest_date=date(2030, 1, 1)
        )

    assert WaitlistEntry.objects.count() == 0
    entries.add(make.patient(), make.appointment_type(), earliest_date=date(2030, 1, 1), latest_date=date(2030, 1, 1))


def test_hours_that_end_before_they_start_are_refused() -> None:
    with pytest.raises(entries.EntryRefused, match="Hours must end"):
        entries.add(make.patient(), make.appointment_type(), windows=[make.window(0, time(9), time(9))])

    assert WaitlistEntry.objects.count() == 0


def test_a_move_up_names_an_appointment_of_the_patient_that_lies_ahead() -> None:
    patient = make.patient()
    kind = make.appointment_type()
    theirs = make.appointment(patient)
    entry = entries.add(patient, kind, move_up=theirs)
    assert MatchKey.objects.get(entry=entry).moving_up is True

    for wrong in (
        make.appointment(make.patient()),
        make.appointment(patient, status=Appointment.Status.CANCELLED),
        make.appointment(patient, start=timezone.now() - timedelta(hours=1)),
    ):
        with pytest.raises(entries.EntryRefused):
            entries.add(patient, make.appointment_type(), move_up=wrong)
    assert WaitlistEntry.objects.count() == 1
    # Whether it still stands is the verdict's to say: the rest of the entry can be changed all the same.
    Appointment.objects.filter(pk=theirs.pk).update(status=Appointment.Status.CANCELLED)
    entries.change(entry, urgency=0, move_up=Appointment.objects.get(pk=theirs.pk))


def test_changing_an_entry_changes_its_keys() -> None:
    provider = make.provider()
    entry = make.entry(make.patient(), make.appointment_type(), windows=[make.window(1)])

    changed = entries.change(entry, providers=[provider], urgency=WaitlistEntry.Urgency.URGENT)
    assert keys_of(changed) == [(provider.pk, 0, 1, 0, 1440)]
    assert MatchKey.objects.get(entry=entry).urgency == 0

    entries.change(entry, windows=[], providers=[])
    assert keys_of(entry) == [(0, 0, 7, 0, 1440)]


def test_a_change_reads_nobody_else_s_wishes() -> None:
    """However many are on the list."""
    wishes = {"providers": [make.provider()], "locations": [make.location()], "windows": [make.window(2)]}
    entry, _ = (entries.add(make.patient(), make.appointment_type(), **wishes) for _ in range(2))

    with CaptureQueriesContext(connection) as captured:
        entries.change(entry, urgency=1)

    reads = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
    assert any("entrywindow" in sql for sql in reads)
    assert [sql for sql in reads if "WHERE" not in sql] == []


def test_a_refused_change_changes_nothing() -> None:
    entry = make.entry(make.patient(), make.appointment_type(), earliest_date=date(2030, 5, 1))

    with pytest.raises(entries.EntryRefused):
        entries.change(entry, latest_date=date(2030, 4, 1), urgency=0)
    with pytest.raises(TypeError):
        entries.change(entry, status="left")
    with pytest.raises(TypeError):
        entries.change(entry, urgent=True)

    entry.refresh_from_db()
    assert (entry.latest_date, entry.urgency, entry.status) == (None, 2, "waiting")
    assert MatchKey.objects.get(entry=entry).latest_date is None


def test_changing_to_a_type_the_patient_waits_for_already_is_refused() -> None:
    patient, first, second = make.patient(), make.appointment_type(), make.appointment_type()
    make.entry(patient, first)
    other = make.entry(patient, second)

    with pytest.raises(entries.AlreadyWaiting):
        entries.change(other, appointment_type=first)

    assert MatchKey.objects.get(entry=other).appointment_type_id == second.pk


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        (entries.pause, "paused"),
        (entries.ask, "asked"),
        (entries.leave, "left"),
        (entries.mark_booked, "booked"),
    ],
)
def test_only_waiting_entries_are_in_the_line(verb, status) -> None:
    entry = make.entry(make.patient(), make.appointment_type())

    assert verb(entry) is True

    entry.refresh_from_db()
    assert entry.status == status
    assert keys_of(entry) == []


def test_a_paused_entry_resumes_at_its_old_place() -> None:
    joined = datetime(2026, 1, 5, 12, tzinfo=timezone.get_default_timezone())
    entry = make.entry(make.patient(), make.appointment_type(), joined_at=joined, silences=3)
    entries.pause(entry)

    assert entries.resume(entry) is True

    key = MatchKey.objects.get(entry=entry)
    entry.refresh_from_db()
    assert (key.joined_at, entry.silences, entry.left_at) == (joined, 0, None)


@pytest.mark.parametrize(
    ("over", "became", "kept"),
    [
        (entries.mark_booked, "", True),
        (entries.mark_booked, "given up", False),
        (entries.mark_booked, "gone", False),
        (entries.pause, "gone", True),
    ],
    ids=["it stands", "it is given up for the booking", "it is gone", "no booking took its place"],
)
def test_only_a_booking_that_took_its_place_ends_a_search_for_an_earlier_time(over, became, kept) -> None:
    patient = make.patient()
    later = make.appointment(patient)
    entry = make.entry(patient, make.appointment_type(), move_up=later, origin="booking")
    assert over(entry)
    if became == "given up":
        writebacks.request_cancel(later)
    elif became == "gone":
        Appointment.objects.filter(pk=later.pk).update(status=Appointment.Status.CANCELLED)
        entry = WaitlistEntry.objects.get(pk=entry.pk)

    assert entries.resume(entry)

    entry.refresh_from_db()
    assert (entry.move_up, entry.origin) == ((later, "booking") if kept else (None, "staff"))


@pytest.mark.parametrize("verb", [entries.leave, entries.mark_booked])
def test_when_an_entry_was_over_is_kept(verb) -> None:
    entry, then = make.entry(make.patient(), make.appointment_type()), timezone.now() - timedelta(hours=2)

    assert verb(entry, then)

    entry.refresh_from_db()
    assert entry.left_at == then


def test_many_leave_at_once_and_nobody_else_does() -> None:
    then = timezone.now() - timedelta(hours=2)
    kind = make.appointment_type()
    paused, waiting, booked, other = (make.entry(make.patient(), kind) for _ in range(4))
    entries.pause(paused)
    entries.mark_booked(booked)

    assert entries.leave_many([paused.pk, waiting.pk, booked.pk], then) == 2

    stored = WaitlistEntry.objects.in_bulk()
    assert [stored[each.pk].status for each in (paused, waiting, booked, other)] == [
        "left",
        "left",
        "booked",
        "waiting",
    ]
    assert [stored[each.pk].left_at for each in (paused, waiting, other)] == [then, then, None]
    assert (keys_of(waiting), len(keys_of(other))) == ([], 1)
    assert LogEntry.objects.get_for_object(waiting).latest("pk").changes_dict["status"] == ["waiting", "left"]


def test_an_entry_handed_over_keeps_its_place_and_its_offers_are_looked_at() -> None:
    entry = make.entry(make.patient(), make.appointment_type())
    opening = make.opening(make.provider(), make.location())
    make.offer(opening, entry)
    another_wish = make.entry(entry.patient, make.appointment_type())
    other, before, successor = make.entry(make.patient(), entry.appointment_type), keys_of(entry), make.patient()

    stale = WaitlistEntry.objects.get(pk=entry.pk)
    assert entries.hand_over(entry, successor) is True

    assert entry.patient == successor
    assert LogEntry.objects.get_for_object(entry).latest("pk").changes_dict["patient"][1] == str(successor.pk)
    opening.refresh_from_db()
    assert opening.attention_due_at is not None
    assert entries.hand_over(stale, make.patient()) is False  # it changed hands meanwhile
    assert entries.hand_over(entry, other.patient) is False  # who waits for it already
    assert dict(WaitlistEntry.objects.values_list("pk", "patient")) == {
        entry.pk: successor.pk,
        another_wish.pk: another_wish.patient_id,
        other.pk: other.patient_id,
    }
    assert keys_of(entry) == before


def test_who_left_does_not_come_back_by_the_same_entry() -> None:
    entry = make.entry(make.patient(), make.appointment_type())
    entries.leave(entry)

    with pytest.raises(IllegalTransition):
        entries.resume(entry)


def test_a_booked_entry_does_not_return_beside_a_new_one() -> None:
    patient, kind = make.patient(), make.appointment_type()
    old = make.entry(patient, kind)
    entries.mark_booked(old)
    make.entry(patient, kind)

    assert entries.resume(old) is False

    old.refresh_from_db()
    assert (old.status, keys_of(old)) == ("booked", [])


def test_a_second_mover_loses() -> None:
    entry = make.entry(make.patient(), make.appointment_type())
    stale = WaitlistEntry.objects.get(pk=entry.pk)
    entries.leave(entry)

    assert entries.pause(stale) is False

    entry.refresh_from_db()
    assert entry.status == "left"


def test_a_lost_race_moves_the_entry_forward() -> None:
    entry, other = (make.entry(make.patient(), make.appointment_type()) for _ in range(2))

    entries.bump_lost_race(entry.pk)
    entries.bump_lost_race(entry.pk)

    entry.refresh_from_db()
    assert entry.lost_races == 2
    assert MatchKey.objects.get(entry=entry).races_won_by_others == -2
    assert LogEntry.objects.get_for_object(entry).latest("pk").changes_dict["lost_races"] == ["1", "2"]
    other.refresh_from_db()
    assert (other.lost_races, MatchKey.objects.get(entry=other).races_won_by_others) == (0, 0)


def test_silences_count_until_the_patient_is_heard_from() -> None:
    entry, other = (make.entry(make.patient(), make.appointment_type()) for _ in range(2))

    assert entries.count_silence(other.pk) == 1
    assert [entries.count_silence(entry.pk) for _ in range(3)] == [1, 2, 3]
    entries.heard_from(entry.pk)

    entry.refresh_from_db()
    other.refresh_from_db()
    assert (entry.silences, other.silences) == (0, 1)
    assert entries.count_silence(999_999) == 0


def test_entries_expire_when_their_latest_date_is_over_everywhere() -> None:
    now = datetime(2030, 3, 11, 11, 59, tzinfo=timezone.get_default_timezone())
    over = make.entry(make.patient(), make.appointment_type(), latest_date=date(2030, 3, 9))
    last_day_in_hawaii = make.entry(make.patient(), make.appointment_type(), latest_date=date(2030, 3, 10))
    open_ended = make.entry(make.patient(), make.appointment_type())

    assert entries.expire(now) == 1

    for entry, status in ((over, "expired"), (last_day_in_hawaii, "waiting"), (open_ended, "waiting")):
        entry.refresh_from_db()
        assert entry.status == status
    assert keys_of(over) == []
    assert entries.expire(now + timedelta(minutes=1)) == 1


@pytest.mark.parametrize("verb", [entries.pause, entries.change])
def test_an_opening_with_an_offer_to_the_entry_is_looked_at_again(verb) -> None:
    place, provider, kind = make.location(), make.provider(), make.appointment_type()
    entry = make.entry(make.patient(), kind)
    offered, answered = make.opening(provider, place), make.opening(provider, place)
    make.offer(offered, entry)
    make.offer(answered, entry, status=Offer.Status.NO)
    make.offer(make.opening(provider, place), make.entry(make.patient(), kind))

    verb(entry)

    due = Opening.objects.filter(attention_due_at__isnull=False)
    assert list(due) == [offered]


def test_many_are_added_in_few_statements(django_assert_max_num_queries) -> None:
    provider, place, kind = make.provider(), make.location(), make.appointment_type()
    patients = [make.patient(phone=None, email=None) for _ in range(40)]
    drafts = [
        entries.Draft(patient, kind, (provider,), (place,), (make.window(index % 7),), {"urgency": index % 3})
        for index, patient in enumerate(patients)
    ]

    with django_assert_max_num_queries(12):
        added = entries.bulk_add(drafts)

    assert [entry.patient_id for entry in added] == [patient.pk for patient in patients]
    assert keys_of(added[3]) == [(provider.pk, place.pk, 3, 0, 1440)]
    assert (list(added[3].providers.all()), list(added[3].locations.all())) == ([provider], [place])
    assert list(added[3].windows.values_list("weekday", flat=True)) == [3]
    assert LogEntry.objects.get_for_model(WaitlistEntry).filter(action=LogEntry.Action.CREATE).count() == 40


def test_many_are_added_all_or_none() -> None:
    patient, kind = make.patient(), make.appointment_type()
    drafts = [entries.Draft(make.patient(), kind), entries.Draft(patient, kind), entries.Draft(patient, kind)]

    with pytest.raises(entries.AlreadyWaiting):
        entries.bulk_add(drafts)

    assert WaitlistEntry.objects.count() == MatchKey.objects.count() == 0


def test_an_entry_is_written_in_few_statements(django_assert_max_num_queries) -> None:
    patient, kind = make.patient(), make.appointment_type()

    with django_assert_max_num_queries(10):
        entries.add(patient, kind)
