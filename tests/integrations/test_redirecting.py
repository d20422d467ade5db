"""An id of the EHR that comes to mean another clinician or place: what stood under the former one follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from integrations import mapping
from integrations.models import Connection
from scheduling import mirror
from scheduling.appointments import apply_absence, apply_appointment
from scheduling.models import Appointment, ExternalId, Location, Opening, Patient, Provider, TimelineEntry, WorkItem
from scheduling.records import AppointmentRecord
from tests import factories
from tests.waitlist.conftest import Scene, scene  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(scene: Scene) -> Connection:  # noqa: F811
    """The EHR has Dr. Chen twice, as 3, whom we know, and as 17."""
    factories.external_id(scene.source, ExternalId.Kind.PROVIDER, scene.provider, "3")
    factories.external_id(scene.source, ExternalId.Kind.LOCATION, scene.location, "elm")
    return factories.connection(source=scene.source, loaded_at=timezone.now())


@pytest.fixture
def double(connection: Connection) -> Provider:
    row = factories.provider()
    factories.external_id(connection.source, ExternalId.Kind.PROVIDER, row, "17")
    return row


def record(version: str, provider: str = "17", **fields: Any) -> AppointmentRecord:
    start = timezone.now() + timedelta(days=3)
    times = {"start": start, "end": start + timedelta(minutes=30), "provider_id": provider, "location_id": "elm"}
    return AppointmentRecord("a-1", version, "booked", status_code="booked", **{**times, **fields})


def redirect(connection: Connection, to: Provider) -> None:
    mapping.map_code(connection, "provider", "", "17", str(to.pk), by="ada")


def test_visits_and_open_time_follow_on_record(scene: Scene, connection: Connection, double: Provider) -> None:  # noqa: F811
    ahead, past = (
        factories.appointment(provider=double, location=scene.location, source=scene.source, start=start)
        for start in (factories.in_days(3), factories.in_days(-3))
    )
    foreign = factories.appointment(provider=double, location=scene.location, source=factories.source("other"))
    scene.waiting(1)
    opening = factories.opening(double, scene.location, source=scene.source, start=factories.in_days(4))
    closed = factories.opening(double, scene.location, source=scene.source, status="closed")
    redirect(connection, scene.provider)
    for row in (ahead, past, foreign, opening, closed):
        row.refresh_from_db()
    assert (ahead.provider, past.provider, opening.provider) == (scene.provider,) * 3
    assert (foreign.provider, closed.provider) == (double, double)
    assert opening.attention_due_at is not None
    assert TimelineEntry.objects.filter(opening=opening, kind="opening.redirected").count() == 1
    logged = LogEntry.objects.get_for_object(ahead).filter(changes__has_key="provider").latest("pk")
    assert logged.changes["provider"] == [str(double.pk), str(scene.provider.pk)]


def test_news_of_a_visit_after_that_frees_no_time_that_was_never_given_up(
    scene: Scene,  # noqa: F811
    connection: Connection,
    double: Provider,
) -> None:
    first = record("1")
    apply_appointment(scene.source, first, timezone.now())
    redirect(connection, scene.provider)
    apply_appointment(scene.source, record("2", start=first.start, end=first.end), timezone.now())
    assert Appointment.objects.get().provider == scene.provider
    assert not Opening.objects.exists()


def test_time_that_is_open_under_both_is_open_once(scene: Scene, connection: Connection, double: Provider) -> None:  # noqa: F811
    start = factories.in_days(4)
    kept, twin = (
        factories.opening(each, scene.location, source=scene.source, start=start) for each in (scene.provider, double)
    )
    redirect(connection, scene.provider)
    kept.refresh_from_db()
    twin.refresh_from_db()
    assert (kept.status, twin.status, twin.closed_reason) == ("open", "closed", "merged")


def test_what_staff_entered_for_the_former_one_is_left_to_them(
    scene: Scene,  # noqa: F811
    connection: Connection,
    double: Provider,
) -> None:
    factories.bookable(double, scene.location, scene.type)
    (entry,) = scene.waiting(1)
    entry.providers.add(double)
    redirect(connection, scene.provider)
    item = WorkItem.objects.get(kind="mapping.redirected.provider")
    assert "what it takes (1), waitlist entries that ask for it (1)" in item.advice
    assert set(entry.providers.all()) == {double}


def test_an_undo_has_the_ehr_asked_which_visit_is_whose(
    scene: Scene,  # noqa: F811
    connection: Connection,
    double: Provider,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    first, other = record("1"), record("1", "3", start=factories.in_days(8), end=factories.in_days(8, 16))
    apply_appointment(scene.source, first, timezone.now())
    apply_appointment(scene.source, AppointmentRecord(**{**_values(other), "external_id": "a-2"}), timezone.now())
    redirect(connection, scene.provider)
    with django_capture_on_commit_callbacks(execute=True):
        mapping.unmap(connection, "provider", "", "17", by="ada")
    connection.refresh_from_db()
    assert connection.load_due_at is not None
    names = ExternalId.objects.filter(kind="appointment")
    assert set(names.values_list("value", "version")) == {("a-1", mirror.IN_DOUBT), ("a-2", mirror.IN_DOUBT)}
    for each in (first, AppointmentRecord(**{**_values(other), "external_id": "a-2"})):
        apply_appointment(scene.source, each, timezone.now(), opens=False)
    by_name = {name.value: Appointment.objects.get(pk=name.object_id).provider for name in names}
    assert by_name == {"a-1": double, "a-2": scene.provider}
    assert not Opening.objects.exists()


@pytest.mark.parametrize(
    ("news", "whose"),
    [
        ({}, None),
        ({"status": "cancelled", "status_code": "cancelled", "reason_verdict": "rebookable"}, "double"),
        ({"provider_id": "3"}, None),
        ({"provider_id": "", "status": "cancelled", "reason_verdict": "rebookable"}, None),
    ],
)
def test_news_between_an_undo_and_the_look_at_the_ehr_open_no_time_of_the_wrong_one(
    scene: Scene,  # noqa: F811
    connection: Connection,
    double: Provider,
    news: dict[str, Any],
    whose: str | None,
) -> None:
    first = record("1")
    apply_appointment(scene.source, first, timezone.now())
    redirect(connection, scene.provider)
    mapping.unmap(connection, "provider", "", "17", by="ada")
    again = {**_values(first), "version": "2", **news}
    apply_appointment(scene.source, AppointmentRecord(**again), timezone.now())
    assert list(Opening.objects.values_list("provider", flat=True)) == ([double.pk] if whose else [])


def test_a_visit_that_is_gone_before_the_look_at_the_ehr_opens_nobodys_time(
    scene: Scene,  # noqa: F811
    connection: Connection,
    double: Provider,
) -> None:
    for each in (record("1"), AppointmentRecord(**{**_values(record("1")), "external_id": "a-2"})):
        apply_appointment(scene.source, each, timezone.now())
    redirect(connection, scene.provider)
    mapping.unmap(connection, "provider", "", "17", by="ada")
    apply_absence(scene.source, "a-1", timezone.now())
    assert not Opening.objects.exists()


def _values(record: AppointmentRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in AppointmentRecord.__slots__}


def test_a_place_takes_its_visits_and_their_patients_staff_along(scene: Scene, connection: Connection) -> None:  # noqa: F811
    annex = factories.location(name="Annex")
    factories.external_id(connection.source, ExternalId.Kind.LOCATION, annex, "annex")
    person: Patient = factories.patient(locations=[annex])
    visit = factories.appointment(person, scene.provider, annex, source=scene.source)
    mapping.map_code(connection, "location", "", "annex", str(scene.location.pk), by="ada")
    visit.refresh_from_db()
    assert visit.location == scene.location
    assert set(person.locations.all()) == {annex, Location.objects.get(pk=scene.location.pk)}
