"""5,000 patients and their appointments compared: page by page, versions first, in few queries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.ehr import reconcile
from integrations.ehr.gateway import Page
from integrations.models import Connection, Difference, Reconciliation
from scheduling.models import Appointment, ExternalId, Opening, Patient
from tests import factories
from tests.integrations.conftest import Clinic

pytestmark = [pytest.mark.django_db, pytest.mark.process]

PATIENTS = 5000
PAGE = 500


@pytest.fixture
def thousands(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """One appointment each over the next 25 days, at the same version on both sides, read in pages."""
    source, start = clinic.connection.source, timezone.now() + timedelta(days=1)
    people = Patient.objects.bulk_create(Patient() for _ in range(PATIENTS))
    common = {"provider": clinic.provider, "location": clinic.location, "source": source, "status": "booked"}
    rows = Appointment.objects.bulk_create(
        Appointment(
            patient=person,
            start=start + timedelta(minutes=7 * number),
            end=start + timedelta(minutes=7 * number + 5),
            **common,
        )
        for number, person in enumerate(people)
    )
    kinds = ExternalId.Kind
    ExternalId.objects.bulk_create(
        ExternalId(source=source, kind=kind, value=f"{name}-{row.pk}", version="1", object_id=row.pk, seen_at=start)
        for kind, name, made in ((kinds.PATIENT, "pat", people), (kinds.APPOINTMENT, "appt", rows))
        for row in made
    )
    ExternalId.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    for row in rows:
        clinic.ehr.put(
            external_id=f"appt-{row.pk}",
            patient_id=f"pat-{row.patient_id}",
            provider_id="prov-1",
            location_id="loc-1",
            start=row.start,
            end=row.end,
        )

    def pages(start: datetime, end: datetime) -> Iterator[Page]:
        held = [each for each in clinic.ehr.appointments.values() if each.start and start <= each.start < end]
        for first in range(0, len(held), PAGE):
            part = held[first : first + PAGE]
            yield Page(
                (),
                versions={each.external_id: each.version for each in part},
                bodies={each.external_id: f'{{"id": "{each.external_id}"}}'.encode() for each in part},
                asked_at=timezone.now(),
            )

    monkeypatch.setattr(clinic.ehr, "calendar", pages)
    Connection.objects.update(loaded_at=timezone.now(), reconcile_due_at=timezone.now())
    return clinic


def test_five_thousand_are_compared_and_only_what_differs_is_read(thousands: Clinic) -> None:
    ehr = thousands.ehr
    ids = list(ehr.appointments)
    for external_id in ids[:3]:
        ehr.change(external_id, status="cancelled")
    for external_id in ids[3:5]:
        del ehr.appointments[external_id]
    start = factories.in_days(9)
    place = {"patient_id": "pat-0", "provider_id": "prov-1", "location_id": "loc-1"}
    ehr.put(external_id="new", start=start, end=start + timedelta(minutes=5), **place)

    with CaptureQueriesContext(database) as queries:
        reconcile.take_up(thousands.connection.pk)
    run = Reconciliation.objects.get()
    assert (run.compared, run.differing, run.missed, run.error) == (PATIENTS + 1, 6, 6, "")
    kinds = sorted(Difference.objects.filter(state="open").values_list("kind", flat=True))
    assert kinds == ["differs"] * 3 + ["missing_here"] + ["missing_there"] * 2
    assert ehr.calls.count("fetch") == 2
    assert Appointment.objects.filter(status="booked").count() == PATIENTS
    assert not Opening.objects.exists()
    # Ten pages at a handful of queries each, and some for each of the six: never some for each appointment.
    assert len(queries) < 200
