"""The page of differences: both sides, three buttons with their reasons, many at once, each location its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from integrations.ehr import comparing
from integrations.models import Connection, Difference, Reconciliation
from scheduling.models import Appointment, ExternalId, Location, Patient, Source, Writeback
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of

PAGE = "/admin/differences/"
DECIDE = f"{PAGE}decide/"


def difference(practice: Practice, patient: Patient, place: Location, **fields: Any) -> Difference:
    start = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(days=2)
    appointment = factories.appointment(patient, practice.chen, place, start=start, source=practice.source)
    held = {
        "status": "booked",
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=30)).isoformat(),
        "provider": "prov-1",
    }
    values = {
        "kind": "differs",
        "fields": ["status"],
        "ehr_says": {**held, "status": "cancelled"},
        "we_hold": held,
        "appointment": appointment,
        "start": start,
        **fields,
    }
    return Difference.objects.create(
        connection=practice.connection,
        subject=f"ext:{appointment.pk}",
        patient=patient,
        location=place,
        found_at=timezone.now(),
        seen_at=timezone.now(),
        **values,
    )


@pytest.fixture
def mine(practice: Practice) -> Difference:
    factories.external_id(practice.source, ExternalId.Kind.PROVIDER, practice.chen, "prov-1")
    return difference(practice, practice.patient, practice.riverside)


@pytest.fixture
def theirs(practice: Practice) -> Difference:
    return difference(practice, practice.their_patient, practice.lakeview)


def test_both_sides_stand_side_by_side_and_a_button_that_cannot_be_pressed_says_why(
    dana: Client, practice: Practice, mine: Difference, theirs: Difference
) -> None:
    words = text_of(dana.get(PAGE))
    assert "Robin Alvarez" in words
    assert "Elsewhere" not in words
    assert words.count("Dr. Mei Chen") == 2
    assert "Offer the freed time" in words
    assert "Ours cannot be sent: It is the EHR's own appointment" in words
    assert records("list")


def test_nothing_to_decide_says_what_to_do(dana: Client, practice: Practice) -> None:
    words = text_of(dana.get(PAGE))
    assert "Nothing has been compared yet." in words
    assert "Nothing waits" not in words  # before the first comparison nobody knows
    now = timezone.now()
    Reconciliation.objects.create(connection=practice.connection, began_at=now, ended_at=now, until=now)
    assert "Nothing waits for a decision. The next days are compared each night." in text_of(dana.get(PAGE))


@pytest.mark.parametrize("opens", [True, False])
def test_one_is_taken_and_freed_time_is_offered_only_where_it_is_ticked(
    dana: Client, mine: Difference, opens: bool
) -> None:
    answer = dana.post(DECIDE, {"choice": f"take:{mine.pk}", **({"open": [mine.pk]} if opens else {})})
    expected = "Freed time of 1 is offered." if opens else "No time is offered."
    assert said(dana, answer) == f"1 appointment is being taken over: the EHR is asked anew. {expected}"
    mine.refresh_from_db()
    assert (mine.state, mine.opens_time, mine.decided_by) == ("taking", opens, "dana")
    assert "being taken over" in text_of(dana.get(PAGE))


def test_many_are_left_at_once_and_a_second_choice_comes_too_late(
    dana: Client, practice: Practice, mine: Difference
) -> None:
    other = difference(practice, practice.patient, practice.riverside)
    answer = dana.post(DECIDE, {"choice": "leave", "pick": [mine.pk, other.pk]})
    assert said(dana, answer) == "2 appointments are left alone until one side changes."
    assert set(Difference.objects.values_list("state", flat=True)) == {"left"}
    late = dana.post(DECIDE, {"choice": "take", "pick": [mine.pk]})
    assert said(dana, late) == "Nothing changed: somebody else has decided it, or it is no more."
    assert "Nothing changed: tick at least one row" in said(dana, dana.post(DECIDE, {"choice": "leave"}))


@pytest.mark.parametrize("key", ["²", "x", "", "-1", "9" * 18, "9" * 30])
def test_what_is_no_row_of_the_page_is_none_that_is_waiting(dana: Client, mine: Difference, key: str) -> None:
    for answer in ({"choice": "leave", "pick": [key]}, {"choice": f"leave:{key}"}):
        assert said(dana, dana.post(DECIDE, answer)).startswith("Nothing changed: ")
    mine.refresh_from_db()
    assert mine.state == "open"


def ours_is_missing_there(practice: Practice) -> Difference:
    """A booking of the waitlist's that the EHR deleted, as the comparison finds it."""
    row = difference(practice, practice.patient, practice.riverside, kind="missing_there", fields=[], ehr_says={})
    Appointment.objects.filter(pk=row.appointment_id).update(origin="waitlist", reference="ABC234")
    Source.objects.update(writable=True)
    row.refresh_from_db()
    Difference.objects.filter(pk=row.pk).update(we_hold=comparing.held(practice.source, row.appointment))
    return row


def test_ours_is_sent_and_what_cannot_be_sent_says_why(dana: Client, practice: Practice, mine: Difference) -> None:
    other = ours_is_missing_there(practice)
    page = dana.get(PAGE)
    assert "“Send ours” books it in the EHR again." in text_of(page)
    assert page.content.decode().count(' class="look-plain" disabled aria-describedby="why-') == 1
    why = "It is the EHR's own appointment; we send only what the waitlist booked or cancelled."
    answer = dana.post(DECIDE, {"choice": "send", "pick": [mine.pk, other.pk]})
    told = f"1 appointment is on the way to the EHR, which is read back afterwards. {why}"
    assert said(dana, answer) == told
    assert list(Difference.objects.order_by("pk").values_list("state", flat=True)) == ["open", "sent"]
    assert [row.kind for row in Writeback.objects.all()] == ["create"]
    assert said(dana, dana.post(DECIDE, {"choice": f"send:{other.pk}"})).startswith("Nothing changed")
    assert said(dana, dana.post(DECIDE, {"choice": f"send:{mine.pk}"})) == f"Nothing was sent. {why}"


def test_whoever_may_only_look_decides_nothing_and_others_do_not_look(
    dana: Client, people: dict[str, User], mine: Difference
) -> None:
    rights = Permission.objects.filter(codename__in=("view_difference", "change_difference"))
    for group in people["dana"].groups.all():
        group.permissions.remove(rights.get(codename="change_difference"))
    page = text_of(dana.get(PAGE))
    assert "Robin Alvarez" in page
    assert "Take the EHR’s" not in page
    assert dana.post(DECIDE, {"choice": f"leave:{mine.pk}"}).status_code == 403
    for group in people["dana"].groups.all():
        group.permissions.remove(rights.get(codename="view_difference"))
    assert dana.get(PAGE).status_code == 403
    assert Difference.objects.get().state == "open"


def test_another_locations_are_neither_shown_nor_decided(dana: Client, theirs: Difference) -> None:
    assert dana.post(DECIDE, {"choice": f"leave:{theirs.pk}"}).status_code == 404
    theirs.refresh_from_db()
    assert theirs.state == "open"
    assert records("denied") == [("integrations.difference", str(theirs.pk))]


def test_the_counts_of_last_night_stand_on_today_and_sync_status_each_with_its_list(
    ira: Client, dana: Client, practice: Practice, mine: Difference
) -> None:
    now = timezone.now()
    Reconciliation.objects.create(
        connection=practice.connection, began_at=now, ended_at=now, until=now, compared=1204, differing=3, missed=2
    )
    status = ira.get("/admin/status/")
    assert "1204 compared , 3 differ , 1 to decide" in text_of(status)
    assert 'href="/admin/differences/"' in status.content.decode()
    today = dana.get("/admin/")
    assert "1 differs from the EHR" in text_of(today)
    assert 'href="/admin/differences/"' in today.content.decode()
    assert "1204 compared, 3 differ, 2 of them without any event that told us" in text_of(dana.get(PAGE))


def test_whoever_runs_the_connection_compares_now_and_nobody_else(
    ira: Client, dana: Client, practice: Practice
) -> None:
    address = f"/admin/status/{practice.connection.pk}/compare/"
    assert dana.post(address).status_code == 403
    assert Connection.objects.get().reconcile_due_at is None
    assert said(ira, ira.post(address)) == (
        f"{practice.source.name} is compared with our calendar now. What differs is listed for you."
    )
    assert Connection.objects.get().reconcile_due_at is not None
