"""Sync status and the connections' settings: how they fare, switches, what codes mean, secrets that stay inside."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from integrations.models import ApiCall, CarrierState, Connection, Heartbeat, InboundEvent, RefusedCall
from scheduling.models import PatientWrite
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of

PAGE = "/admin/status/"


def test_it_says_how_each_system_fares(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    for result in ("ok", "ok", "ok", "unavailable"):
        ApiCall.objects.create(
            connection=practice.connection,
            system="ehr",
            at=now,
            actor="w",
            method="GET",
            resource="Slot",
            status=200 if result == "ok" else None,
            duration_ms=5,
            result=result,
        )
    CarrierState.objects.create(
        channel="email",
        refused_since=now - timedelta(minutes=3),
        failing_since=now - timedelta(minutes=3),
        last_error="mail_login_refused",
    )
    CarrierState.objects.create(channel="sms", failing_since=now - timedelta(minutes=7))
    Heartbeat.objects.create(name="sweep", at=now - timedelta(minutes=2))
    words = text_of(dana.get(PAGE))
    assert "The EHR connected" in words
    assert "Calls in 24 hours 4, 75 % answered as they should" in words
    assert "Time to answer half within 5 ms, 95 % within 5 ms News of appointments as it arrives" in words
    assert "Waiting 0 to read, 0 to write" in words
    assert "E-mail refused The carrier refused our account 3 min ago." in words
    assert "Its last answer: the mail server does not accept our login: tell IT." in words
    assert "Texts not going out None for 7 min. They are kept and sent later." in words
    assert "Background work stands still Last sign of life 2 min ago. Call IT." in words


def test_the_next_comparison_is_told_apart_from_the_last(ira: Client, practice: Practice) -> None:
    Connection.objects.update(reconcile_due_at=timezone.now() + timedelta(hours=8, minutes=2, seconds=5))
    assert "Calendar compared not yet , next in 8 h 2 min" in text_of(ira.get("/admin/status/"))


def test_a_limit_of_calls_is_shown_with_how_much_of_it_is_used(dana: Client, practice: Practice) -> None:
    assert "Limit of calls" not in text_of(dana.get(PAGE))
    Connection.objects.update(calls_per_minute=60)
    assert "Limit of calls 60 a minute; of what may run ahead, 0 % is used" in text_of(dana.get(PAGE))


def test_how_each_kind_of_change_is_dealt_with_is_shown(dana: Client, practice: Practice) -> None:
    Connection.objects.update(appointment_pace="hybrid", patient_pace="batch", batch_minutes=30)
    assert (
        "News of appointments urgent as it arrives, the rest every 30 minutes "
        "News of patients every 30 minutes News of clinicians, places as it arrives, and read every 30 minutes"
    ) in text_of(dana.get(PAGE))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"state": "paused"}, "paused A person paused it"),
        ({"state": "stopped"}, "stopped The EHR refused our login. Nothing is read or written."),
        ({"failing_since": 40}, "does not answer No answer for 40 min."),
        ({"last_event_at": 600}, "silent Last heard 10 h ago, longer than is usual."),
        ({"loaded_at": 90}, "behind The calendar was last read 90 minutes ago; same-day times are not offered"),
        ({"loaded_at": None}, "loading The calendar is not loaded yet"),
    ],
)
def test_each_trouble_has_its_word(dana: Client, practice: Practice, fields: dict[str, object], word: str) -> None:
    factories.practice(office_days="1234567", office_opens="00:00", office_closes="23:59:59")
    for name, value in fields.items():
        moment = timezone.now() - timedelta(minutes=value) if isinstance(value, int) else value
        setattr(practice.connection, name, moment)
        if name == "last_event_at":
            practice.connection.loaded_at = moment
    practice.connection.save()
    assert word in text_of(dana.get(PAGE))


def test_pause_resume_and_sync(ira: Client, practice: Practice) -> None:
    path = f"{PAGE}{practice.connection.pk}/"
    assert said(ira, ira.post(path + "sync/")) == "The EHR is read within a few seconds."
    assert said(ira, ira.post(path + "pause/")) == (
        "The EHR is paused: nothing is read or written. What arrives is kept."
    )
    practice.connection.refresh_from_db()
    assert practice.connection.state == Connection.State.PAUSED
    assert said(ira, ira.post(path + "pause/")) == "Nothing changed: The EHR is paused."
    assert said(ira, ira.post(path + "sync/")) == "Nothing changed: The EHR is paused. Resume it first."
    assert said(ira, ira.post(path + "resume/")).startswith("The EHR goes on.")
    practice.connection.refresh_from_db()
    assert practice.connection.state == Connection.State.ACTIVE
    assert practice.connection.poll_due_at is not None
    subject = ("integrations.connection", str(practice.connection.pk))
    assert (records("pause"), records("resume"), records("call")) == ([subject], [subject], [subject])


def test_a_stopped_connection_is_resumed_after_its_login_was_mended(ira: Client, practice: Practice) -> None:
    Connection.objects.update(state="stopped", failing_since=timezone.now(), last_error="invalid_client")
    ira.post(f"{PAGE}{practice.connection.pk}/resume/")
    row = Connection.objects.get()
    assert (row.state, row.failing_since, row.last_error) == ("active", None, "")


@pytest.mark.parametrize("step", ["pause", "resume", "sync"])
def test_the_front_desk_looks_but_does_not_switch(dana: Client, practice: Practice, step: str) -> None:
    path = f"{PAGE}{practice.connection.pk}/{step}/"
    assert dana.post(path).status_code == 403
    assert dana.get(path).status_code == 405
    assert "Sync now" not in text_of(dana.get(PAGE))
    practice.connection.refresh_from_db()
    assert (practice.connection.state, practice.connection.poll_due_at) == ("active", None)


def test_secrets_go_in_and_never_come_out(ira: Client, practice: Practice) -> None:
    Connection.objects.update(client_secret="hush-hush", webhook_secrets=["old-secret"])
    path = f"/admin/integrations/connection/{practice.connection.pk}/change/"
    page = ira.get(path)
    assert b"hush-hush" not in page.content
    assert b"old-secret" not in page.content
    form = {
        name: value if value is not None else ""
        for name, value in page.context["adminform"].form.initial.items()
        if name in page.context["adminform"].form.fields
    }
    assert ira.post(path, {**form, "new_webhook_secret": "newest"}).status_code == 302
    row = Connection.objects.get()
    assert (row.client_secret, row.webhook_secrets) == ("hush-hush", ["newest", "old-secret"])
    ira.post(path, {**form, "new_client_secret": "changed", "only_newest_webhook_secret": "on"})
    row = Connection.objects.get()
    assert (row.client_secret, row.webhook_secrets, row.slug) == ("changed", ["newest"], "sandbox")


def test_an_ehr_that_was_never_loaded_is_not_said_to_be_read(ira: Client, practice: Practice) -> None:
    Connection.objects.update(state="paused", loaded_at=None)
    answer = ira.post(f"/admin/status/{practice.connection.pk}/resume/")
    assert said(ira, answer).startswith("The EHR is active. It is read once its calendar is loaded")


def test_what_waits_and_what_failed_is_counted_of_every_kind_and_leads_to_it(maria: Client, practice: Practice) -> None:
    now = timezone.now()
    for number, status in enumerate(("received", "dead", "quarantined", "done")):
        InboundEvent.objects.create(
            connection=practice.connection, via="poll", dedupe_key=str(number), subject_key="Appointment/a",
            status=status, body=b"{}", due_at=now, received_at=now,
        )  # fmt: skip
    for status in ("waiting", "waiting", "dead", "by_hand"):
        PatientWrite.objects.create(patient=practice.patient, source=practice.source, status=status, due_at=now)
    page = maria.get(PAGE)
    words = text_of(page)
    assert "Waiting 1 to read, 2 to write Failed failed 2 could not be read, 1 could not be written" in words
    assert "Events to read 1 0 2" in words
    assert "Patients’ details to write 2 0 1" in words
    assert "A dead letter failed at each try, or could not be read." in words
    links = set(re.findall(r'href="([^"]+status__in=[^"]+)"', page.content.decode()))
    assert {
        link: maria.get(link).context["cl"].result_count
        for link in links
        if "patientwrite" in link or "dead,quarantined" in link
    } == {
        "/admin/integrations/inboundevent/?status__in=dead,quarantined": 2,
        "/admin/scheduling/patientwrite/?status__in=dead": 1,
        "/admin/scheduling/patientwrite/?status__in=waiting,sending,unknown": 2,
    }


def test_nothing_failed_is_said_too(dana: Client, practice: Practice) -> None:
    words = text_of(dana.get(PAGE))
    assert "Waiting 0 to read, 0 to write Failed nothing" in words
    assert "A dead letter failed" not in words


def test_why_calls_were_refused_is_said_in_words(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    RefusedCall.objects.create(endpoint="sandbox", reason="bad_signature", day=now.date(), count=3, last_at=now)
    assert re.search(r"sandbox bad signature [A-Z][a-z]{2} \d+ 3 ", text_of(dana.get(PAGE)))


def test_of_an_ehr_that_only_sends_no_call_of_ours_is_told(ira: Client, practice: Practice) -> None:
    Connection.objects.update(kind="hl7v2", base_url="")
    words = text_of(ira.get("/admin/status/"))
    for untrue in ("poll", "Login", "read every", "Compare now", "Calendar as of", "Calls in 24 hours"):
        assert untrue not in words
    assert said(ira, ira.post(f"/admin/status/{practice.connection.pk}/sync/")) == (
        "What The EHR sent and waits is dealt with within seconds."
    )
    ira.post(f"/admin/status/{practice.connection.pk}/pause/")
    assert said(ira, ira.post(f"/admin/status/{practice.connection.pk}/resume/")) == (
        "The EHR goes on: what it sent meanwhile is dealt with now."
    )
