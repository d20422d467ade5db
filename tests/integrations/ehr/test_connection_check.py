"""Checking a connection: a plain table of what the EHR lets us do, and staff are told when it becomes less."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_httpserver import HTTPServer

from integrations.ehr import checking
from integrations.ehr.fhir.scopes import covers, with_right_to_register
from integrations.ehr.gateway import Finding, Unavailable
from integrations.models import Connection, SigningKey
from scheduling.models import Source, WorkItem
from tests import factories
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

ALL = (
    "address",
    "server",
    "login",
    "location",
    "provider",
    "patient",
    "schedule",
    "appointment",
    "writes",
    "retries",
    "versions",
    "cancels",
    "silence",
    "events",
    "changes",
    "coverage",
)


def verdicts(connection: Connection) -> dict[str, str]:
    return {each.key: each.verdict for each in checking.check(connection)}


def test_an_ehr_that_can_do_everything(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    assert verdicts(connection) == dict.fromkeys(ALL, "yes")
    connection.refresh_from_db()
    assert [each.key for each in checking.found(connection)] == list(ALL)
    assert connection.checked_at is not None


def test_nothing_in_the_ehr_is_changed_by_it(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    checking.check(sandbox.connect())
    assert {call["method"] for call in sandbox.calls("/fhir")} == {"GET"}


def test_a_wrong_secret_says_what_to_compare_and_tries_no_read(sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect(client_secret="another")
    found = {each.key: each for each in checking.check(connection)}
    assert (found["login"].verdict, found["login"].says) == ("no", "The EHR's login answered 401 invalid_client.")
    assert found["login"].costs.startswith("Compare client id, secret or key")
    assert found["patient"].verdict == "not_tried"
    assert sandbox.calls("/fhir/Patient") == []


def test_a_stopped_connection_can_be_checked_once_its_secret_is_mended(sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect(client_secret="another")
    checking.check(connection)
    connection.refresh_from_db()
    assert connection.state == Connection.State.STOPPED
    connection.client_secret = ehr.CLIENT_SECRET
    connection.save()
    assert verdicts(connection)["login"] == "yes"


def test_a_read_that_is_not_allowed_names_the_scope_to_ask_for(sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect()
    sandbox.fault("403", path="Patient", method="GET")
    found = {each.key: each for each in checking.check(connection)}
    assert found["patient"].verdict == "no"
    assert found["patient"].costs.endswith("Ask the vendor for system/Patient.read.")
    assert found["appointment"].verdict == "yes"


def test_fewer_rights_than_asked_for_are_named(httpserver: HTTPServer, settings: Any) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    token = {"access_token": "t" * 20, "scope": "system/*.rs", "expires_in": 300}
    httpserver.expect_request("/token").respond_with_json(token)
    statement = {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", "resource": [{"type": "Appointment", "interaction": [{"code": "create"}]}]}],
    }
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement)
    connection = factories.connection(base_url=httpserver.url_for("/fhir"), token_url=httpserver.url_for("/token"))
    found = {each.key: each for each in checking.check(connection)}
    assert found["login"].verdict == "partly"
    assert found["login"].costs == "Ask the vendor to grant: system/Appointment.write."
    assert (found["writes"].verdict, found["writes"].says) == ("no", "It does not take bookings from us.")


SCOPES = "system/*.read system/Appointment.write"


def a_server(httpserver: HTTPServer, granted: str, **patient: Any) -> Connection:
    """An EHR that grants these scopes and declares this of Patient; we are to register new patients there."""
    token = {"access_token": "t" * 20, "scope": granted, "expires_in": 300}
    httpserver.expect_request("/token").respond_with_json(token)
    resources = [{"type": "Appointment", "interaction": [{"code": "create"}]}, {"type": "Patient", **patient}]
    rest = [{"mode": "server", "resource": resources}]
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement)
    source = factories.source("elm", registers_patients="machine")
    urls = {"base_url": httpserver.url_for("/fhir"), "token_url": httpserver.url_for("/token")}
    return factories.connection("elm", source=source, scope=f"{SCOPES} system/Patient.write", **urls)


@pytest.mark.parametrize(
    ("granted", "codes", "verdict", "says", "learned"),
    [
        (SCOPES, ["create"], "no", "We have no right to write patients.", "tried"),
        (f"{SCOPES} system/Patient.write", ["create"], "yes", "It takes new patients.", "declared"),
        ("system/*.rs system/Patient.cu", ["create"], "yes", "It takes new patients.", "declared"),
        ("", ["create"], "yes", "It takes new patients.", "declared"),
        (f"{SCOPES} system/Patient.write", ["read"], "no", "It takes no new patients from us.", "declared"),
    ],
)
def test_whether_new_patients_may_be_registered_is_asked_where_that_was_chosen(
    httpserver: HTTPServer, settings: Any, granted: str, codes: list[str], verdict: str, says: str, learned: str
) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    connection = a_server(httpserver, granted, interaction=[{"code": code} for code in codes])
    found = {each.key: each for each in checking.check(connection)}["registers"]
    assert (found.verdict, found.says, found.learned) == (verdict, says, learned)
    told = "Each becomes a task for staff, who register them in the EHR; a booking waits until they have."
    asks = " Ask the vendor for system/Patient.write."
    assert found.costs == ("" if verdict == "yes" else told + asks if learned == "tried" else told)


def test_an_answer_keeps_the_time_it_was_first_found(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    begun = timezone.now()
    checking.check(connection, begun)
    sandbox.fault("403", path="Patient", method="GET")
    checking.check(connection, begun + timedelta(days=1))
    connection.refresh_from_db()
    since = {each.key: each.since for each in checking.found(connection)}
    assert since["location"] == begun.isoformat()
    assert since["patient"] == (begun + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("scopes", "wanted"),
    [
        (SCOPES, f"{SCOPES} system/Patient.write"),
        ("system/*.rs system/Appointment.cu", "system/*.rs system/Appointment.cu system/Patient.cu"),
        (f"{SCOPES} system/Patient.cud", f"{SCOPES} system/Patient.cud"),
        ("system/*.*", "system/*.*"),
        ("", ""),
    ],
)
def test_the_right_to_register_is_asked_for_in_the_notation_of_the_others(scopes: str, wanted: str) -> None:
    assert with_right_to_register(scopes) == wanted


@pytest.mark.parametrize(
    ("granted", "wanted", "is_covered"),
    [
        ("system/*.read", "system/Patient.read", True),
        ("system/*.rs", "system/Patient.read", True),
        ("system/Patient.rs", "system/Patient.read", True),
        ("system/Patient.r", "system/Patient.read", False),
        ("system/Patient.rs", "system/*.read", False),
        ("system/Appointment.cruds", "system/Appointment.write", True),
        ("system/Appointment.c", "system/Appointment.write", False),
        ("system/*.*", "system/Appointment.write", True),
        ("patient/*.read", "system/Patient.read", False),
        ("system/Appointment.rs?status=booked", "system/Appointment.read", True),
        ("openid", "openid", True),
        ("openid", "system/Patient.read", False),
    ],
)
def test_scopes_in_either_notation(granted: str, wanted: str, is_covered: bool) -> None:
    assert covers(granted, wanted) is is_covered


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://ehr.example.org/fhir", "not a web address"),
        ("https://user:word@93.184.215.14/fhir", "user name or password"),
        ("https://93.184.215.14/fhir?key=1", "before those"),
        ("http://93.184.215.14/fhir", "unprotected"),
        ("https://127.0.0.1/fhir", "private network"),
        ("https://169.254.169.254/latest", "private network"),
        ("https://10.0.0.5/fhir", "private network"),
        ("https://93.184.215.14/fhir", ""),
    ],
)
def test_an_address_is_judged_before_anything_is_sent(settings: Any, address: str, words: str) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    problem = checking.address_problem(address)
    assert (words in problem) if words else problem == ""


def test_another_server_than_a_fhir_server_is_named_as_such(httpserver: HTTPServer, settings: Any) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    httpserver.expect_request("/fhir/metadata").respond_with_data("<html>hello</html>", content_type="text/html")
    connection = factories.connection(base_url=httpserver.url_for("/fhir"), token_url=httpserver.url_for("/token"))
    found = {each.key: each for each in checking.check(connection)}
    assert found["server"].verdict == "no"
    assert "often ends in /r4 or /fhir" in found["server"].costs


def test_a_name_nobody_knows_may_be_a_typing_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any) -> list[str]:
        raise Unavailable("The name of the EHR's host is not known.")

    monkeypatch.setattr(checking, "resolve", resolve)
    assert checking.address_problem("https://ehr.exampel.org/fhir") == (
        "The name of the EHR's host is not known. Look for a typing error."
    )


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}, "It speaks FHIR 3.0.2."),
        ({"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"}, "It speaks FHIR 5.0.0."),
        ({"resourceType": "CapabilityStatement"}, "It speaks FHIR of an unnamed version."),
        ({"resourceType": "Conformance", "fhirVersion": "4.0.1"}, "It speaks FHIR 4.0.1."),
    ],
)
def test_another_version_of_fhir_than_r4_is_named(
    httpserver: HTTPServer, settings: Any, statement: dict[str, str], says: str
) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement)
    connection = factories.connection(base_url=httpserver.url_for("/fhir"), token_url=httpserver.url_for("/token"))
    found = {each.key: each for each in checking.check(connection)}
    assert (found["server"].verdict, found["server"].says) == ("no", says)
    assert found["server"].costs == "Ask the vendor for the address of FHIR R4 (4.0.1)."
    assert "writes" not in found


def test_a_token_from_before_does_not_hide_that_we_are_no_longer_let_in(sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect()
    assert verdicts(connection)["login"] == "yes"
    connection.client_secret = "another"
    connection.save()
    assert verdicts(connection)["login"] == "no"


def test_nothing_is_sent_to_an_address_that_must_not_be_called(sandbox: ehr.Sandbox, settings: Any) -> None:
    """It was allowed when it was entered."""
    connection = sandbox.connect()
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    found = checking.check(connection)
    assert [(each.key, each.verdict) for each in found] == [("address", "no")]
    assert found[0].costs == "Nothing is sent there. Correct the address."


def test_a_search_for_patients_is_tried_with_a_birthday_nobody_has(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    checking.check(sandbox.connect())
    (asked,) = sandbox.calls("/fhir/Patient")
    assert asked["parameters"].keys() == {"_count", "birthdate"}


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [
        ("yes", "no", True),
        ("yes", "partly", True),
        ("partly", "no", True),
        ("no", "yes", False),
        ("no", "no", False),
        ("not_tried", "no", False),
        ("yes", "not_tried", False),
        (None, "no", False),
    ],
)
def test_what_was_not_tried_or_never_asked_did_not_become_worse(before: Any, after: Any, is_told: bool) -> None:
    known = Finding("login", "Are we let in?", before, "") if before else None
    assert checking._is_worse(known, Finding("login", "Are we let in?", after, "")) is is_told


def test_of_two_workers_one_checks(sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sandbox.connect(checked_at=timezone.now() - timedelta(days=2))
    usual = Connection.objects.get

    def get(**which: Any) -> Connection:
        row = usual(**which)
        Connection.objects.update(checked_at=timezone.now() - timedelta(days=1))  # the other one was quicker
        return row

    monkeypatch.setattr(Connection.objects, "get", get)
    assert checking.recheck(connection.pk) is False
    assert sandbox.calls() == []


def test_once_a_day_staff_hear_what_became_worse_and_when_it_is_over(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    checking.check(connection)
    tomorrow = timezone.now() + timedelta(days=1, seconds=1)
    assert checking.due(tomorrow - timedelta(hours=1)) == []
    assert checking.due(tomorrow) == [connection.pk]
    sandbox.fault("403", path="Schedule", method="GET")
    assert checking.recheck(connection.pk, tomorrow) is True
    (item,) = WorkItem.objects.filter(kind="connection.worse")
    assert "Can it read the schedule?" in item.advice
    assert checking.due(tomorrow) == []
    sandbox.heal()
    assert checking.recheck(connection.pk, tomorrow + timedelta(days=1)) is True
    item.refresh_from_db()
    assert item.status == WorkItem.Status.DONE


def test_what_an_ehr_never_allowed_does_not_keep_the_news_of_what_it_no_longer_allows(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    sandbox.fault("403", path="Location", method="GET", count=None)
    checking.check(connection)
    assert "no" in {each.verdict for each in checking.found(connection)}
    days = [timezone.now() + timedelta(days=day, seconds=1) for day in (1, 2, 3, 4)]
    sandbox.fault("403", path="Schedule", method="GET", count=None)
    checking.recheck(connection.pk, days[0])
    (item,) = WorkItem.objects.filter(kind="connection.worse")
    checking.recheck(connection.pk, days[1])
    item.refresh_from_db()
    assert item.status == WorkItem.Status.OPEN, "it is no better on the second day"
    sandbox.heal()
    sandbox.fault("down")
    checking.recheck(connection.pk, days[2])
    item.refresh_from_db()
    assert item.status == WorkItem.Status.OPEN, "where nothing could be tried nothing is known to be mended"
    sandbox.heal()
    sandbox.fault("403", path="Location", method="GET", count=None)
    checking.recheck(connection.pk, days[3])
    item.refresh_from_db()
    assert item.status == WorkItem.Status.DONE


def test_what_became_worse_and_was_seen_by_a_person_is_news_no_more(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    connection = sandbox.connect()
    checking.check(connection)
    sandbox.fault("403", path="Schedule", method="GET", count=None)
    checking.recheck(connection.pk, timezone.now() + timedelta(days=1, seconds=1))
    connection.refresh_from_db()
    checking.check(connection, timezone.now() + timedelta(days=1, seconds=2))
    checking.recheck(connection.pk, timezone.now() + timedelta(days=2, seconds=3))
    (item,) = WorkItem.objects.filter(kind="connection.worse")
    assert item.status == WorkItem.Status.DONE


def test_a_connection_nobody_has_checked_is_left_to_a_person(sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect()
    assert checking.due(timezone.now() + timedelta(days=9)) == []
    assert checking.recheck(connection.pk) is False


# --- from the command line --------------------------------------------------------------------------------------------


def connect_ehr(*arguments: str) -> str:
    out = StringIO()
    call_command("connect_ehr", *arguments, stdout=out)
    return out.getvalue()


def test_connecting_from_the_command_line(sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.small_clinic()
    monkeypatch.setenv("EHR_CLIENT_SECRET", ehr.CLIENT_SECRET)
    said = connect_ehr("elm", "--address", sandbox.url, "--client-id", ehr.CLIENT_ID, "--name", "Elm EHR")
    assert "  yes       Are we let in? We got a token.\n" in said
    assert said.endswith("Next: manage.py load_ehr elm\n")
    row = Connection.objects.get(slug="elm")
    assert (row.client_secret, row.source.name, row.state) == (ehr.CLIENT_SECRET, "Elm EHR", "paused")
    assert ehr.CLIENT_SECRET not in said


def test_who_registers_new_patients_is_said_on_the_command_line(
    sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EHR_CLIENT_SECRET", ehr.CLIENT_SECRET)
    asked = ("elm", "--address", sandbox.url, "--client-id", ehr.CLIENT_ID, "--registers", "machine")
    assert "yes       May we register new patients?" in connect_ehr(*asked)
    row = Connection.objects.get(slug="elm")
    assert (row.scope, row.source.registers_patients) == (f"{SCOPES} system/Patient.write", "machine")
    connect_ehr("elm")
    assert Source.objects.get().registers_patients == "machine"


def test_what_is_wrong_is_named_and_can_be_mended_by_the_same_command(
    sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.small_clinic()
    monkeypatch.setenv("EHR_CLIENT_SECRET", "another")
    with pytest.raises(CommandError, match="Mend what is marked NO"):
        connect_ehr("elm", "--address", sandbox.url, "--client-id", ehr.CLIENT_ID)
    monkeypatch.setenv("EHR_CLIENT_SECRET", ehr.CLIENT_SECRET)
    assert "Are we let in? We got a token." in connect_ehr("elm")


def test_a_signed_login_prints_where_the_keys_are(sandbox: ehr.Sandbox) -> None:
    with pytest.raises(CommandError):  # the sandbox does not know this client's keys
        connect_ehr("elm", "--address", sandbox.url, "--client-id", "elm", "--login", "signed")
    assert SigningKey.objects.get().algorithm == "ES384"


def test_a_dangerous_address_is_not_even_stored(settings: Any) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(CommandError, match="Nothing was stored"):
        connect_ehr("elm", "--address", "https://169.254.169.254/fhir", "--login", "none")
    assert Connection.objects.count() == Source.objects.count() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "There is no connection elm yet. Name its --address to add it."),
        (
            ("--address", "ADDRESS", "--client-id", "elm"),
            "This login needs a client secret. Put it into",
        ),
        (("--address", "ADDRESS", "--login", "none", "--client-id", "x" * 201), "client_id: .* Nothing was stored"),
        (("--address", "ftp://ehr.example.org", "--login", "none"), "not a web address.* Nothing was stored"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_stored(
    sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.delenv("EHR_CLIENT_SECRET", raising=False)
    with pytest.raises(CommandError, match=words):
        connect_ehr("elm", *(sandbox.url if each == "ADDRESS" else each for each in arguments))
    assert Connection.objects.count() == Source.objects.count() == 0
    assert sandbox.calls() == []
