"""Which weeks of the past are read by whom and when, and what is kept of them: of one EHR, each cancellation once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr import history
from integrations.ehr.gateway import GatewayError, LoginRefused, Page, Quarantined, Rejected, Unavailable
from integrations.ehr.reading_lease import ReadingLease
from integrations.models import Connection
from scheduling.models import AppointmentType, ExternalId, Patient
from scheduling.records import AppointmentRecord
from tests import factories
from waitlist.models import PastCancellation

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SOON = NOW + timedelta(seconds=1)


@dataclass
class Past:
    """An EHR that lists what it is given, whatever it is asked for; one clinician, place and patient are known here."""

    connection: Connection
    patient: Patient
    kind: AppointmentType
    records: list[AppointmentRecord] = field(default_factory=list)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    error: GatewayError | None = None

    def history(self, start: datetime, end: datetime) -> Iterator[Page]:
        self.asked.append((start, end))
        if self.error is not None:
            raise self.error
        yield Page(tuple(self.records), (Quarantined("Appointment/broken", "it has no end", b"{}"),))

    def put(self, external: str, **fields: Any) -> datetime:
        """Hold a visit that was cancelled two days before it, at noon ten days ago; return its start."""
        start = fields.pop("start", (timezone.now() - timedelta(days=10)).replace(hour=17, minute=0, microsecond=0))
        values: dict[str, Any] = {
            "version": "1",
            "status": "cancelled",
            "start": start,
            "end": start + timedelta(minutes=30),
            "patient_id": f"pat-{self.patient.pk}",
            "provider_id": "prov-1",
            "location_id": "loc-1",
            "type_target": self.kind.code,
            "reason_verdict": "rebookable",
            "cancelled_at": start - timedelta(days=2),
        }
        self.records.append(AppointmentRecord(external, **(values | fields)))
        return start

    def read(self) -> history.HistoryProgress:
        """Read to the end; return how it ended."""
        assert history.ask(self.connection)
        for _ in range(20):
            if not history.due():
                break
            assert history.take_up(self.connection.pk)
        self.connection.refresh_from_db()
        progress = history.progress_of(self.connection)
        assert progress is not None
        return progress

    def verdicts(self) -> dict[str, tuple[str, str]]:
        assert self.read().error == ""
        rows = PastCancellation.objects.filter(source=self.connection.source)
        return {row.external_id: (row.verdict, row.became) for row in rows}


@pytest.fixture
def past(db: None, monkeypatch: pytest.MonkeyPatch) -> Past:
    connection = factories.connection(loaded_at=NOW)
    source, kind = connection.source, factories.appointment_type()
    provider, place = factories.provider(), factories.location()
    factories.bookable(provider, place, kind)
    factories.external_id(source, ExternalId.Kind.PROVIDER, provider, "prov-1")
    factories.external_id(source, ExternalId.Kind.LOCATION, place, "loc-1")
    factories.entry(factories.patient(locations=[place]), kind)
    found = Past(connection, factories.patient(names=source, locations=[place]), kind)
    monkeypatch.setattr(history, "connect", lambda connection: found)
    return found


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({}, True),
        ({"history_due_at": SOON}, False),
        ({"history_due_at": None}, False),
        ({"state": "stopped"}, False),
        ({"state": "paused"}, True),
        ({"poll_lease_until": SOON}, False),
        ({"poll_lease_until": NOW}, True),
    ],
)
def test_it_is_read_on_when_its_time_has_come_and_nobody_reads_the_connection(
    past: Past, fields: dict[str, Any], is_due: bool
) -> None:
    Connection.objects.update(**{"history_due_at": NOW, **fields})
    assert history.due(NOW) == ([past.connection.pk] if is_due else [])
    assert history.is_due(NOW) is is_due


def test_it_is_asked_for_of_one_connection_and_not_while_it_is_read(past: Past) -> None:
    other = factories.connection("oak")
    factories.practice(time_zone="America/New_York")
    assert history.progress_of(past.connection) is None
    assert history.ask(past.connection, datetime(2026, 6, 30, 3, 0, tzinfo=UTC))
    assert not history.ask(past.connection)
    past.connection.refresh_from_db()
    other.refresh_from_db()
    progress = history.progress_of(past.connection)
    assert progress is not None
    # 90 days before the evening of June 29 in New York, from midnight there on.
    assert datetime.fromisoformat(progress.since) == datetime(2026, 3, 31, 4, 0, tzinfo=UTC)
    assert (progress.reached, progress.share, other.history_due_at) == (progress.since, 0.0, None)


def test_what_another_worker_reads_is_left_to_it(past: Past) -> None:
    assert history.ask(past.connection)
    lease = ReadingLease.take(past.connection.pk)
    assert lease is not None
    assert not history.take_up(past.connection.pk)
    lease.release(history_due_at=None)
    assert not history.take_up(past.connection.pk), "another has read to the end since we looked"
    assert past.asked == []


def test_week_follows_week_without_a_gap_to_the_moment_it_was_asked_for(past: Past) -> None:
    began = timezone.now()
    progress = past.read()
    assert [start for start, _ in past.asked[1:]] == [end for _, end in past.asked[:-1]]
    assert {end - start for start, end in past.asked[:-1]} == {timedelta(days=7)}
    assert began <= past.asked[-1][1] <= timezone.now()
    assert (progress.share, progress.error, progress.unreadable) == (1.0, "", len(past.asked))
    assert progress.ended_at


@pytest.mark.parametrize("error", [Rejected(), LoginRefused(status=401), Unavailable()])
def test_what_a_person_has_to_mend_ends_it_and_what_passes_does_not(past: Past, error: GatewayError) -> None:
    assert history.ask(past.connection)
    past.error = error
    assert history.take_up(past.connection.pk)
    past.connection.refresh_from_db()
    progress = history.progress_of(past.connection)
    assert progress is not None
    passes = isinstance(error, Unavailable)
    assert (progress.error, bool(progress.ended_at)) == (error.code, not passes)
    assert (past.connection.history_due_at is not None) is passes
    assert (progress.reached, past.connection.poll_lease_until) == (progress.since, None)


# --- what -------------------------------------------------------------------------------------------------------------


def test_each_is_counted_in_its_own_week_though_the_ehr_lists_all_each_time(past: Past) -> None:
    assert history.ask(past.connection)
    past.connection.refresh_from_db()
    progress = history.progress_of(past.connection)
    assert progress is not None
    since, began = datetime.fromisoformat(progress.since), datetime.fromisoformat(progress.began_at)
    for name, start in (("first", since), ("second week", since + history.STRETCH), ("before", since - timedelta(1))):
        past.put(name, start=start, patient_id="")
    past.put("after", start=began + timedelta(hours=1), patient_id="")
    past.put("no time", start=since, end=None, status="booked")
    Connection.objects.update(history_due_at=None)
    progress = past.read()
    assert set(PastCancellation.objects.values_list("external_id", flat=True)) == {"first", "second week"}
    assert (progress.read, progress.cancelled) == (3, 2)


def test_a_second_reading_forgets_of_this_ehr_what_is_shown_no_more(past: Past) -> None:
    start = past.put("gone")
    other = factories.source("elsewhere")
    row = {"start": start, "end": start, "verdict": "offered", "became": "wasted", "judged_at": NOW - timedelta(days=9)}
    PastCancellation.objects.create(source=other, external_id="theirs", **row)
    past.read()
    past.records.clear()
    past.put("new")
    past.read()
    assert set(PastCancellation.objects.values_list("external_id", flat=True)) == {"theirs", "new"}


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "offered"),
        ({"cancelled_at": None}, "offered"),
        ({"reason_verdict": "unmapped"}, "reason"),
        ({"reason_verdict": "unmapped_type"}, "type"),
        ({"reason_verdict": "ask_staff"}, "ask"),
        ({"reason_verdict": "not_rebookable"}, "closed"),
        ({"provider_id": "prov-9"}, "place"),
        ({"location_id": "loc-9"}, "place"),
        ({"location_id": "prov-1"}, "place"),
        ({"patient_id": "pat-9999"}, "patient"),
        ({"patient_id": ""}, "offered"),
    ],
)
def test_what_would_have_come_of_it(past: Past, fields: dict[str, Any], verdict: str) -> None:
    past.put("one", **fields)
    assert past.verdicts() == {"one": (verdict, "wasted")}


@pytest.mark.parametrize(("minutes", "is_after"), [(-1, False), (0, True), (1, True)])
def test_what_was_cancelled_once_it_had_begun_was_never_free(past: Past, minutes: int, is_after: bool) -> None:
    start = past.put("before")
    past.records.clear()
    past.put("one", cancelled_at=start + timedelta(minutes=minutes))
    assert (past.verdicts()["one"][0] == "after") is is_after


def three(past: Past, change: Callable[[int], dict[str, Any]]) -> set[str]:
    """Three of the clinician's afternoon, given up within some minutes of each other; return what is said of them."""
    start = past.put("0", **change(0))
    for number in (1, 2):
        at = start + timedelta(minutes=45 * number)
        said = {"cancelled_at": start - timedelta(days=2, minutes=number), **change(number)}
        past.put(str(number), **{"start": at, **said})
    return {verdict for verdict, _ in past.verdicts().values()}


@pytest.mark.parametrize(
    ("change", "is_a_day"),
    [
        ({}, True),
        ({"provider_id": "prov-2"}, False),
        ({"reason_verdict": "not_rebookable"}, False),
        ({"cancelled_at": None}, False),
        ({"location_id": "loc-9"}, False),
    ],
)
def test_it_takes_three_of_one_clinicians_day_to_ask_whether_they_are_out(
    past: Past, change: dict[str, Any], is_a_day: bool
) -> None:
    factories.external_id(past.connection.source, ExternalId.Kind.PROVIDER, factories.provider(), "prov-2")
    found = three(past, lambda number: change if number == 2 else {})
    assert ("day" in found) is is_a_day


def test_on_two_days_they_are_no_day_of_absence(past: Past) -> None:
    start = past.put("0")
    past.records.clear()
    days = {2: {"start": start + timedelta(days=1), "cancelled_at": start - timedelta(days=2)}}
    assert "day" not in three(past, lambda number: days.get(number, {}))


@pytest.mark.parametrize(
    ("other", "became"),
    [
        ({"status": "fulfilled"}, "refilled"),
        ({"status": "noshow"}, "refilled"),
        ({"status": "cancelled"}, "wasted"),
        ({"status": "fulfilled", "provider_id": "prov-2"}, "wasted"),
        ({"status": "fulfilled", "minutes": 15}, "partly"),
        ({"status": "fulfilled", "minutes": 30}, "wasted"),
    ],
)
def test_who_had_the_time_afterwards(past: Past, other: dict[str, Any], became: str) -> None:
    start = past.put("one")
    past.put("two", **{"start": start + timedelta(minutes=other.pop("minutes", 0)), **other})
    assert past.verdicts()["one"] == ("offered", became)
