"""*Connect*: from an address to a live EHR on one page; nobody without the right takes a step."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations import tasks
from integrations.ehr import poll, reconcile, signing_keys
from integrations.models import CodeMapping, Connection
from scheduling.models import Bookable, ExternalId, LocationAccess, Provider, Source
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of
from tests.fixtures import sandbox as ehr
from tests.fixtures.sandbox import sandbox

__all__ = ["sandbox"]


def page_of(connection: Connection) -> str:
    return reverse("admin:desk_connecting", args=[connection.pk])


def step(client: Client, connection: Connection, name: str, **data: Any) -> str:
    return said(client, client.post(f"{page_of(connection)}{name}/", data))


def form(sandbox: ehr.Sandbox, **fields: str) -> dict[str, str]:
    return {
        "name": "Elm EHR",
        "slug": "elm",
        "writable": "on",
        "registers_patients": "staff",
        "kind": "fhir",
        "base_url": sandbox.url,
        "login_method": "secret_basic",
        "client_id": ehr.CLIENT_ID,
        "new_client_secret": ehr.CLIENT_SECRET,
        "scope": "system/*.read system/Appointment.write",
        "identifier_system": "urn:sooner:booking",
        "appointment_pace": "real_time",
        "patient_pace": "real_time",
        "directory_pace": "real_time",
        "batch_minutes": "15",
        "poll_minutes": "5",
        "poll_overlap_minutes": "5",
        "events_by": "criteria",
        "webhook_proof": "signature",
        "missing_reason": "offer",
        "silence_minutes": "360",
        "reconcile_hour": "2",
        "reconcile_days": "30",
        "settle_seconds": "2",
        "messages_tell": "news",
        "appointment_number": "filler",
        "place_in_messages": "facility",
        "times_in_messages": "AIS AIP",
        "message_charset": "utf-8",
        **fields,
    }


def test_from_an_address_to_a_live_clinician(maria: Client, practice: Practice, sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    added = maria.post("/admin/integrations/connection/add/", form(sandbox))
    connection = Connection.objects.get(slug="elm")
    assert added.url == page_of(connection)

    assert (connection.state, connection.source.name, connection.source.key) == ("paused", "Elm EHR", "elm")

    assert step(maria, connection, "check") == "Elm EHR lets us do all we need."
    words = text_of(maria.get(page_of(connection)))
    assert "Does it take new appointments? yes It takes bookings." in words
    assert "not loaded yet" in words
    assert "loaded" in step(maria, connection, "load")
    tasks.drain_loads()
    words = text_of(maria.get(f"{page_of(connection)}load/live/"))
    assert re.search(r"^loaded .* Locations 1 of 1 Clinicians 2 of 2 Patients 3 of 3 Appointments 0", words), words
    CodeMapping.objects.create(connection=connection, domain="type", code="NEW")
    ana = Provider.objects.get(name__contains="Ana")
    factories.bookable(ana, practice.riverside, practice.followup, mode="ask_first")
    words = text_of(maria.get(page_of(connection)))
    assert "1 code of the EHR is not mapped yet." in words
    assert re.search(r"Ana.*? 1 ask first Off for .*? Automatic for", words)

    answer = step(maria, connection, "mode", provider=ana.pk, mode="automatic")
    assert answer.endswith("automatic. 1 kind of visit changed.")
    assert Bookable.objects.get(provider=ana).mode == "automatic"


def test_those_who_run_the_connections_add_one_with_its_name_and_nothing_is_read_before_a_person_says_so(
    ira: Client, practice: Practice, sandbox: ehr.Sandbox
) -> None:
    sandbox.small_clinic()
    added = ira.post("/admin/integrations/connection/add/", form(sandbox, name="Elm Family", slug=""))
    connection = Connection.objects.get(slug="elm-family")
    assert added.url == page_of(connection)  # type: ignore[attr-defined]
    source = connection.source
    assert (source.key, source.name, source.writable, source.registers_patients) == (
        "elm-family",
        "Elm Family",
        True,
        "staff",
    )
    assert connection.state == "paused"
    words = text_of(ira.get(page_of(connection)))
    assert (
        "not started It is being connected: no change is read, nothing written. Next: check what it lets us do" in words
    )
    assert "Start reading and writing" not in words
    assert sandbox.calls() == []


def test_the_front_desk_adds_no_connection(dana: Client, practice: Practice, sandbox: ehr.Sandbox) -> None:
    assert dana.post("/admin/integrations/connection/add/", form(sandbox)).status_code == 403
    assert not Source.objects.filter(key="elm").exists()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"slug": "sandbox"}, "Another EHR or list has this short name. Choose another."),
        ({"name": "", "slug": ""}, "This field is required."),
        ({"name": "…", "slug": ""}, "Give it a short name of letters and digits"),
        ({"base_url": "the server in the cellar"}, "It is not a web address. It begins with https://"),
        ({"client_id": ""}, "This login needs the client’s id, as the vendor registered it."),
        ({"new_client_secret": ""}, "This login needs the client secret that the vendor gave you."),
    ],
)
def test_what_is_wrong_in_the_form_is_said_where_it_is_entered(
    ira: Client, practice: Practice, sandbox: ehr.Sandbox, fields: dict[str, str], says: str
) -> None:
    assert says in text_of(ira.post("/admin/integrations/connection/add/", form(sandbox, **fields)))
    assert Connection.objects.count() == Source.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"events_by": "topic"}, "Events by topic need the topic's address. The vendor's documents name it."),
        ({"webhook_proof": "bearer"}, "A bearer token counts only from addresses named here. Name at least one."),
        ({"webhook_proof": "bearer", "webhook_senders": "the vendor"}, "is neither an address nor a network."),
        ({"base_url": "ftp://ehr.example.org/fhir"}, "It is not a web address."),
    ],
)
def test_settings_by_which_nobody_could_tell_us_of_changes_are_not_stored(
    ira: Client, practice: Practice, sandbox: ehr.Sandbox, fields: dict[str, str], says: str
) -> None:
    connection = sandbox.connect(slug="elm")
    change = reverse("admin:integrations_connection_change", args=[connection.pk])
    answer = ira.post(change, {**form(sandbox), **fields, "_save": "Save"})
    assert says in text_of(answer)
    connection.refresh_from_db()
    assert (connection.events_by, connection.webhook_proof, connection.base_url) == (
        "criteria",
        "signature",
        sandbox.url,
    )


def test_who_registers_new_patients_is_asked_and_brings_the_right_it_needs(
    ira: Client, practice: Practice, sandbox: ehr.Sandbox
) -> None:
    sandbox.small_clinic()
    ira.post("/admin/integrations/connection/add/", form(sandbox))
    connection = Connection.objects.get(slug="elm")
    assert connection.scope == "system/*.read system/Appointment.write"
    assert "New patients registered by staff, in the EHR" in text_of(ira.get(page_of(connection)))
    assert "May we register new patients?" not in [each["question"] for each in connection.findings]

    change = reverse("admin:integrations_connection_change", args=[connection.pk])
    by_machine = form(sandbox, registers_patients="machine", _save="Save")
    ira.post(change, by_machine)
    connection.refresh_from_db()
    assert connection.scope == "system/*.read system/Appointment.write system/Patient.write"
    assert Source.objects.get(key="elm").registers_patients == "machine"
    step(ira, connection, "check")
    assert "May we register new patients? yes It takes new patients." in text_of(ira.get(page_of(connection)))

    kept = form(sandbox, scope=connection.scope, _save="Save")
    answer = ira.post(change, kept)
    assert said(ira, answer).startswith("The rights we ask for still let us write patients.")
    assert Source.objects.get(key="elm").registers_patients == "staff"


def test_whoever_may_not_change_what_the_ehr_is_to_us_leaves_it_as_it_is(
    practice: Practice, ira: Client, people: dict[str, Any], sandbox: ehr.Sandbox
) -> None:
    group = people["ira"].groups.get()
    group.permissions.remove(group.permissions.get(codename="change_source"))
    change = reverse("admin:integrations_connection_change", args=[practice.connection.pk])
    ira.post(change, form(sandbox, name="Mine now", registers_patients="machine", poll_minutes="7", _save="Save"))
    practice.connection.refresh_from_db()
    source = Source.objects.get(pk=practice.source.pk)
    assert practice.connection.poll_minutes == 7
    assert (source.name, source.registers_patients) == (practice.source.name, "staff")


def test_what_the_ehr_can_do_is_a_table_and_never_raw_json(
    ira: Client, practice: Practice, sandbox: ehr.Sandbox
) -> None:
    sandbox.small_clinic()
    ira.post("/admin/integrations/connection/add/", form(sandbox))
    connection = Connection.objects.get(slug="elm")
    change = reverse("admin:integrations_connection_change", args=[connection.pk])
    assert "Nothing is known yet. Check the connection first." in text_of(ira.get(change))
    step(ira, connection, "check")
    page = ira.get(change)
    words = text_of(page)
    assert re.search(r"Read appointments yes tried by the check (just now|\d+ (s|min) ago)", words), words
    assert re.search(r"Recognise a repeated booking yes declared by the EHR (just now|\d+ (s|min) ago)", words)
    assert "Write to patients about bookings by itself no known of this kind of EHR –" in words
    markup = page.content.decode()
    assert "token_endpoint" not in markup
    assert "{&" not in markup


def test_whoever_works_at_none_of_its_places_is_told_who_can_give_them(
    ira: Client, practice: Practice, people: dict[str, Any]
) -> None:
    ExternalId.objects.create(source=practice.source, kind="location", value="l-1", object_id=practice.riverside.pk)
    ExternalId.objects.create(source=practice.source, kind="provider", value="p-1", object_id=practice.chen.pk)
    Bookable.objects.all().delete()
    words = text_of(ira.get(page_of(practice.connection)))
    assert "your account works at none of this EHR’s places" in words
    assert "Enter what they take" not in words
    LocationAccess.objects.create(user=people["ira"], location=practice.riverside)
    words = text_of(ira.get(page_of(practice.connection)))
    assert "your account works at none of this EHR’s places" not in words
    assert "Enter what they take" in words


def what_chen_takes(practice: Practice) -> dict[str, Any]:
    return {
        "provider": practice.chen.pk,
        "location": practice.riverside.pk,
        "appointment_type": practice.followup.pk,
        "duration_minutes": 30,
        "mode": "ask_first",
        "_save": "Save",
    }


def test_what_a_clinician_takes_is_said_back_by_name(maria: Client, practice: Practice) -> None:
    Bookable.objects.all().delete()
    answer = maria.post("/admin/scheduling/bookable/add/", what_chen_takes(practice))
    assert said(maria, answer).startswith("Dr. Mei Chen takes Follow-up at Riverside, 30 minutes:")
    assert Bookable.objects.get().mode == "ask_first"


def test_who_enters_what_a_clinician_takes_from_connect_lands_there_again(maria: Client, practice: Practice) -> None:
    ExternalId.objects.create(source=practice.source, kind="location", value="l-1", object_id=practice.riverside.pk)
    ExternalId.objects.create(source=practice.source, kind="provider", value="p-1", object_id=practice.chen.pk)
    Bookable.objects.all().delete()
    page = page_of(practice.connection)
    shown = maria.get(page).content.decode()
    links = [unescape(each) for each in re.findall(r'href="([^"]*/bookable/add/[^"]*)"', shown)]
    (link,) = [each for each in links if f"provider={practice.chen.pk}&" in each]
    answer = maria.post(link, what_chen_takes(practice))
    assert answer.headers["Location"] == f"{page}?at=mode#mode"
    back = maria.get(answer.headers["Location"]).content.decode()
    assert back.index("takes Follow-up at Riverside") > back.index('id="mode-title"')


def test_another_kind_of_visit_is_entered_for_the_same_clinician(maria: Client, practice: Practice) -> None:
    Bookable.objects.all().delete()
    link = f"/admin/scheduling/bookable/add/?{urlencode({'provider': practice.chen.pk, 'next': '/admin/'})}"
    entered = what_chen_takes(practice)
    del entered["_save"]
    answer = maria.post(link, {**entered, "_addanother": "Save and add another"})
    assert answer.headers["Location"] == link
    assert Bookable.objects.count() == 1
    assert f'<option value="{practice.chen.pk}" selected>' in maria.get(link).content.decode()


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_an_address_elsewhere_is_not_followed(maria: Client, practice: Practice, elsewhere: str) -> None:
    Bookable.objects.all().delete()
    answer = maria.post(f"/admin/scheduling/bookable/add/?{urlencode({'next': elsewhere})}", what_chen_takes(practice))
    assert answer.headers["Location"] == "/admin/scheduling/bookable/"


def test_what_came_of_a_step_is_said_beside_its_button(ira: Client, practice: Practice) -> None:
    answer = ira.post(f"{page_of(practice.connection)}history/")
    assert answer.url == f"{page_of(practice.connection)}?at=shadow#shadow"  # type: ignore[attr-defined]
    page = ira.get(answer.url).content.decode()  # type: ignore[attr-defined]
    assert page.index("The last 90 days are being read.") > page.index('id="shadow-title"')


def test_a_shadow_run_of_a_connection_that_was_not_started_begins_to_read_it(ira: Client, practice: Practice) -> None:
    Connection.objects.update(state="paused")
    step(ira, practice.connection, "shadow")
    assert Connection.objects.get().state == "active"


def test_a_shadow_run_does_not_start_a_connection_whose_login_was_refused(ira: Client, practice: Practice) -> None:
    Connection.objects.update(state="stopped")
    assert "the EHR refused our login" in step(ira, practice.connection, "shadow")
    assert Connection.objects.get().state == "stopped"


def test_a_right_to_subscribe_that_is_missing_is_named(ira: Client, practice: Practice, sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect()
    sandbox.fault("403", path="Subscription", method="POST")
    assert "Ask the vendor for system/Subscription.write" in step(ira, connection, "subscribe")


def test_what_is_missing_is_told_with_what_it_costs(ira: Client, practice: Practice, sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect(client_secret="another")
    answer = step(ira, connection, "check")
    assert re.fullmatch(r"1 of \d\d answers needs your attention\. Nothing was changed\.", answer), answer
    words = text_of(ira.get(page_of(connection)))
    assert "Are we let in? no The EHR's login answered 401 invalid_client." in words
    assert "Compare client id, secret or key with what the vendor registered" in words
    assert records("call") == [("integrations.connection", str(connection.pk))]


def test_an_address_that_must_not_be_called_is_refused_in_the_form(
    maria: Client, practice: Practice, sandbox: ehr.Sandbox, settings: Any
) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    data = form(sandbox, base_url="https://169.254.169.254/fhir")
    words = text_of(maria.post("/admin/integrations/connection/add/", data))
    assert "It leads into a private network" in words
    assert not Connection.objects.filter(slug="elm").exists()


def test_an_ehr_that_only_sends_needs_no_address_and_its_bookings_go_to_staff(
    maria: Client, practice: Practice, sandbox: ehr.Sandbox
) -> None:
    alone = {"kind": "hl7v2", "base_url": "", "mrn_system": "", "times_in_messages": "AIS PID", "client_id": ""}
    words = text_of(maria.post("/admin/integrations/connection/add/", form(sandbox, **alone)))
    assert "Patients in messages are known by their record number. Name its system." in words
    assert "Name segments that hold a visit’s time, with spaces between them: AIS AIP AIL AIG TQ1 SCH." in words
    known = {**alone, "mrn_system": "urn:example:mrn", "times_in_messages": "AIS"}
    maria.post("/admin/integrations/connection/add/", form(sandbox, **known))
    connection = Connection.objects.get(slug="elm")
    assert (connection.base_url, connection.only_sends, connection.source.writable) == ("", True, False)
    assert "need" in step(maria, connection, "check")
    words = text_of(maria.get(page_of(connection)))
    assert "Do its messages come? no None has come yet." in words
    assert "Is the address safe" not in words
    step(maria, connection, "load")
    tasks.drain_loads()
    connection.refresh_from_db()
    assert connection.loaded_at is not None
    assert connection.pk not in poll.poll_due()
    assert not reconcile.ask(connection)


def test_of_an_ehr_that_only_sends_nothing_is_said_that_it_cannot_do(maria: Client, practice: Practice) -> None:
    row = factories.connection("elm", kind="hl7v2", base_url="", state="paused", scope="system/*.read")
    step(maria, row, "check")
    Connection.objects.filter(pk=row.pk).update(loaded_at=timezone.now())
    words = text_of(maria.get(page_of(row)))
    assert "Next: start it: its messages are dealt with from then on" in words
    assert "Have the interface engine post each message to http" in words
    assert "Clinicians appear here once the EHR is started and a message names them." in words
    for untrue in ("polled", "Ask the EHR to notify us", "Read the last 90 days", "Rights we ask for", "Login"):
        assert untrue not in words
    assert step(maria, row, "subscribe").startswith("Nothing was done: this EHR cannot be asked.")
    assert step(maria, row, "start").endswith(
        "is active: its messages are dealt with as they come, those that waited first."
    )
    assert "start it" not in text_of(maria.get(page_of(row)))


def test_a_certificate_without_its_key_is_refused_in_the_form(
    maria: Client, practice: Practice, sandbox: ehr.Sandbox
) -> None:
    data = form(sandbox, client_certificate="-----BEGIN CERTIFICATE-----", new_certificate_key="a key of somebody")
    words = text_of(maria.post("/admin/integrations/connection/add/", data))
    assert "The client certificate and its key are not a pair, or not PEM." in words
    assert "a key of somebody" not in words
    assert not Connection.objects.filter(slug="elm").exists()


def test_keys_are_made_and_changed_and_their_address_is_shown(maria: Client, practice: Practice) -> None:
    connection = practice.connection
    Connection.objects.filter(pk=connection.pk).update(login_method="signed")
    assert "Next: make a key, and give its address to the vendor" in text_of(maria.get(page_of(connection)))
    assert step(maria, connection, "key", algorithm="RS384").endswith("is published. Give its address to the vendor.")
    first = signing_keys.current(connection)
    assert first.algorithm == "RS384"
    assert "signs from tomorrow" in step(maria, connection, "key")
    assert signing_keys.current(connection) == first
    words = text_of(maria.get(page_of(connection)))
    assert f"http://testserver/ehr/{connection.slug}/jwks.json" in words
    assert re.search(rf"RS384, signs in 24 h .*?, published already Key {first.kid} RS384, signs until then", words)
    assert "PRIVATE" not in words


def test_a_subscription_without_a_secret_is_not_asked_for(ira: Client, practice: Practice) -> None:
    Connection.objects.filter(pk=practice.connection.pk).update(webhook_secrets=[])
    known = Connection.objects.get(pk=practice.connection.pk)
    known.webhook_secrets = []
    known.save()
    assert step(ira, known, "subscribe") == (
        "Nothing was done: the connection has no webhook secret yet. Enter one in its settings."
    )


def test_the_ehr_is_asked_to_notify_us(ira: Client, practice: Practice, sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect()
    assert step(ira, connection, "subscribe") == "The EHR notifies us of every change from now on."
    (created,) = sandbox.calls("/fhir/Subscription", "POST")
    assert created["status"] == 201


def test_a_proprietary_system_is_not_asked_to_notify_us(ira: Client, practice: Practice, settings: Any) -> None:
    settings.EHR_ADAPTERS = {"elm-desk": "integrations.ehr.example.adapter"}
    Connection.objects.update(kind="elm-desk", webhook_secrets=["secret"])
    row = Connection.objects.get()
    words = text_of(ira.get(page_of(row)))
    assert "Ask the EHR to notify us" not in words
    assert "This kind of EHR takes no subscriptions: its changes are found by the poll, every 5 minutes." in words
    assert step(ira, row, "subscribe") == ("Nothing was done: this kind of EHR takes no subscriptions. It is polled.")
    assert not row.subscriptions.exists()


def test_an_ehr_that_was_found_to_take_no_subscriptions_is_not_asked_for_one(ira: Client, practice: Practice) -> None:
    row = factories.connection(slug="oracle", kind="oracle", webhook_secrets=["shared-words"])
    assert "Ask the EHR to notify us" in text_of(ira.get(page_of(row)))
    none = {"key": "events", "question": "Does it send events?", "verdict": "no", "says": "It offers no subscriptions."}
    Connection.objects.filter(pk=row.pk).update(findings=[none])
    words = text_of(ira.get(page_of(row)))
    assert "Ask the EHR to notify us" not in words
    assert "This kind of EHR takes no subscriptions" in words


@pytest.mark.parametrize("name", ["check", "load", "key", "subscribe", "start", "history", "shadow", "live", "mode"])
def test_the_front_desk_takes_no_step(dana: Client, practice: Practice, name: str) -> None:
    answer = dana.post(f"{page_of(practice.connection)}{name}/")
    assert answer.status_code == 403
    assert dana.get(page_of(practice.connection)).status_code == 403
    assert len(records("denied")) == 2


def test_steps_there_are_not_and_clinicians_of_others_are_not_found(maria: Client, practice: Practice) -> None:
    assert maria.post(f"{page_of(practice.connection)}nothing/").status_code == 404
    stranger = factories.provider(name="Dr. Else")
    answer = maria.post(f"{page_of(practice.connection)}mode/", {"provider": stranger.pk, "mode": "automatic"})
    assert answer.status_code == 404


def test_a_paused_connection_is_started_from_here(ira: Client, practice: Practice) -> None:
    Connection.objects.update(state="paused")
    assert step(ira, practice.connection, "start") == "The EHR is active: it is read now and every 5 minutes."
    assert Connection.objects.get().state == "active"


def test_a_shadow_run_is_begun_and_ended_and_each_page_says_so(ira: Client, dana: Client, practice: Practice) -> None:
    CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9")
    words = text_of(ira.get(page_of(practice.connection)))
    assert "Still unmapped: 1 reason; their openings wait for staff" in words
    assert "The shadow run not in shadow" in words
    assert step(ira, practice.connection, "shadow").startswith("The EHR is in shadow: everything is computed")
    assert step(ira, practice.connection, "shadow") == "Nothing changed: The EHR is in shadow already."
    assert records("pause") == [("integrations.connection", str(practice.connection.pk))]
    assert "Shadow: nothing is sent or written for The EHR." in text_of(dana.get("/admin/"))
    practice.opening()
    practice.opening(held="reason", start=timezone.now() + timedelta(days=2))
    words = text_of(ira.get(page_of(practice.connection)))
    assert "1 freed time is still free. When the run ends, patients on the waitlist are offered it" in words
    assert "End the shadow run" in words
    assert "is out of shadow" in step(ira, practice.connection, "live")
    assert step(ira, practice.connection, "live") == "Nothing changed: The EHR is not in shadow."
    assert "Shadow: nothing is sent" not in text_of(dana.get("/admin/"))
    assert "still free. When the run ends" not in text_of(ira.get(page_of(practice.connection)))


def test_a_shadow_run_waits_for_what_is_under_way(ira: Client, practice: Practice) -> None:
    factories.offer(practice.opening(), practice.entry())
    answer = step(ira, practice.connection, "shadow")
    assert answer.startswith("Nothing changed: The EHR is live, and this is still under way: offers that patients hold")
    assert not Source.objects.get(pk=practice.source.pk).in_shadow


def test_the_last_ninety_days_are_asked_for_once_and_their_progress_is_shown(ira: Client, practice: Practice) -> None:
    connection = practice.connection
    assert step(ira, connection, "history").startswith("The last 90 days are being read.")
    assert step(ira, connection, "history") == "Nothing changed: the last 90 days are being read already."
    words = text_of(ira.get(f"{page_of(connection)}history/live/"))
    assert words == "being read 0 appointments, 0 of them cancelled"


def test_a_changed_address_leads_back_to_the_next_step(maria: Client, practice: Practice, sandbox: ehr.Sandbox) -> None:
    maria.post("/admin/integrations/connection/add/", form(sandbox))
    connection = Connection.objects.get(slug="elm")
    change = reverse("admin:integrations_connection_change", args=[connection.pk])
    answer = maria.post(change, {**form(sandbox), "practice_number": "195900", "_save": "Save"})
    assert answer.url == page_of(connection)  # type: ignore[attr-defined]
    assert said(maria, answer).startswith("Saved. Check the connection below")
    connection.refresh_from_db()
    assert connection.practice_number == "195900"


def test_the_form_asks_in_the_words_that_the_guide_uses(ira: Client, practice: Practice) -> None:
    change = reverse("admin:integrations_connection_change", args=[practice.connection.pk])
    words = text_of(ira.get(change))
    for label in ("Name:", "Short name:", "Address:", "Token address:", "MRN system:"):
        assert label in words


@pytest.mark.parametrize("name", ["load", "history"])
def test_a_stopped_connection_is_not_said_to_be_read(ira: Client, practice: Practice, name: str) -> None:
    Connection.objects.update(state="stopped")
    assert step(ira, practice.connection, name).startswith(
        "Nothing was done: The EHR refused our login and is stopped."
    )
    row = Connection.objects.get()
    assert (row.load_due_at, row.history_due_at) == (None, None)
