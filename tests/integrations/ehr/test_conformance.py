"""Every dialect passes the same questions, and an EHR that misbehaves is told from one that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from integrations.ehr import abilities, conformance, conformance_writing, load
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.gateway import Booking, Gateway, GatewayError, Kind, Record, Taken, connect
from integrations.ehr.sandbox import epic
from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from integrations.models import Connection
from scheduling.records import PatientRecord
from tests.fixtures import sandbox as ehr

pytestmark = [pytest.mark.django_db, pytest.mark.long]

#: Which form of the sandbox each kind of connection is made for.
DIALECTS = {"fhir": "plain", "oracle": "oracle", "argonaut": "argonaut", "epic": "epic", "athena": "athena"}
#: What a dialect does not do, and says so.
NOT_OFFERED: dict[str, set[str]] = {
    "fhir": set(),
    "oracle": set(),
    "argonaut": {
        "A change of an older version is refused",
        "It can be cancelled",
        "Nothing of ours is left behind",
    },
    "epic": {
        "A change of an older version is refused",
        "It can be cancelled",
        "Nothing of ours is left behind",
    },
    "athena": {"A change of an older version is refused"},
}


@pytest.fixture(params=sorted(DIALECTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def playing(kind: str) -> Iterator[ehr.Sandbox]:
    """A sandbox EHR that plays the dialect of ``kind``, with a small clinic and one booking."""
    settings = SandboxSettings(
        client_id=ehr.CLIENT_ID,
        client_secret=ehr.CLIENT_SECRET,
        control_token=ehr.CONTROL_TOKEN,
        dialect=DIALECTS[kind],
    )
    with SandboxServer(settings) as server:
        sandbox = ehr.Sandbox(server.base_url, server)
        sandbox.small_clinic()
        sandbox.load(ehr.booking("b-1", 3))
        sandbox.load({"resourceType": "Organization", "id": "acme", "name": "Acme"}, insurance())
        sandbox.change(ehr.slot("ana", 3, "busy"))
        yield sandbox


@pytest.fixture
def gateway(playing: ehr.Sandbox, kind: str) -> Gateway:
    connection = connect_as(playing, kind)
    load.load(connection.pk)
    connection.refresh_from_db()
    return connect(connection)


def connect_as(playing: ehr.Sandbox, kind: str) -> Connection:
    """Epic is Argonaut, known by its address."""
    if kind == "epic":
        return playing.connect(kind="argonaut", base_url=f"{playing.url.removesuffix('/fhir')}{epic.R4}")
    return playing.connect(kind=kind, practice_number="195900")


def insurance() -> ehr.Resource:
    """What pays for the first patient's visits."""
    return {
        "resourceType": "Coverage",
        "id": "c-1",
        "status": "active",
        "beneficiary": {"reference": "Patient/patient-1"},
        "payor": [{"reference": "Organization/acme", "display": "Acme"}],
    }


def trial(slot: int = 0) -> Booking:
    return Booking(
        key="",
        patient_id="patient-2",
        provider_id="ana",
        location_id="elm",
        start=ehr.start_of(slot),
        end=ehr.start_of(slot + 1),
        type_system=ehr.TYPE_SYSTEM,
        type_code="FOLLOWUP",
    )


def failed(results: list[conformance.Result]) -> list[conformance.Result]:
    return [result for result in results if result.verdict == "failed"]


def not_offered(results: list[conformance.Result]) -> set[str]:
    return {result.question for result in results if result.verdict == "not offered"}


def test_each_dialect_reads_as_its_adapter_says(gateway: Gateway, playing: ehr.Sandbox, kind: str) -> None:
    before = len(playing.calls())
    results = list(conformance.read_only(gateway))
    assert failed(results) == []
    assert not_offered(results) == set()
    assert len(results) == 12
    asked = {(call["method"], call["path"]) for call in playing.calls()[before:] if "/oauth/" not in call["path"]}
    changing = {(method, path) for method, path in asked if method != "GET"}
    by_batch = gateway.capabilities.reads_many == "batch"
    asked_by_post = {"fhir": {("POST", "/fhir")}, "epic": {("POST", f"{epic.STU3}/Appointment/$find")}}
    assert changing == asked_by_post.get(kind, set()), "a batch of reads is sent, and changes nothing"
    assert results[-1].detail == ("4 by a batch" if by_batch else "4 by a search for their ids")
    assert by_batch is (kind == "fhir")
    (told,) = [each.detail for each in results if each.question == "What pays for a patient's visits can be read"]
    assert told == "1 for 3 patients, 1 with a plan"


def test_a_time_kept_aside_before_it_is_booked_is_known_of_those_who_follow_the_guide(
    gateway: Gateway, kind: str
) -> None:
    assert gateway.capabilities.holds == (kind == "argonaut")
    told = {each.what: each.answer for each in abilities.abilities(Connection.objects.get())}
    assert told["Keep a time aside before it is booked"] == (
        "yes, which we do not need" if kind == "argonaut" else "no"
    )


def test_each_dialect_writes_as_its_adapter_says_and_is_left_clean(
    gateway: Gateway, playing: ehr.Sandbox, kind: str
) -> None:
    results = list(conformance_writing.writing(gateway, trial()))
    assert failed(results) == []
    assert not_offered(results) == NOT_OFFERED[kind]
    assert len(results) == 8
    left = {each["participant"][0]["actor"]["reference"] for each in playing.appointments(status="booked")}
    if kind in ("argonaut", "epic"):  # nobody but staff can cancel there
        assert left == {"Patient/patient-1", "Patient/patient-2"}
        return
    assert left == {"Patient/patient-1"}
    cancelled = playing.appointments(status="cancelled")
    assert [each["participant"][0]["actor"]["reference"] for each in cancelled] == ["Patient/patient-2"]


@pytest.mark.parametrize("kind", ["epic"], indirect=True)
def test_epic_is_asked_in_bodies_alone_and_only_the_clinicians_own_times_are_taken(
    gateway: Gateway, playing: ehr.Sandbox
) -> None:
    """It proposes everybody's at the location: a time of ben's must not be booked as one of ana's."""
    look = gateway.availability("ana", "elm", ehr.start_of(0), ehr.start_of(8))
    assert [each.start for each in look.slots] == [ehr.start_of(number) for number in range(8) if number != 3]
    gateway.create(replace(trial(), key="k-1", slot_ids=(look.slots[0].external_id,), comment="by the waitlist"))
    booked = [each for each in playing.appointments(status="booked") if each.get("comment") == "by the waitlist"]
    actors = [each["actor"]["reference"] for each in booked[0]["participant"]]
    assert actors == ["Patient/patient-2", "Practitioner/ana", "Location/elm"]
    operations = [each for each in playing.calls("/$") if each["status"] == 200]
    assert {(each["method"], each["path"].rpartition("/")[0]) for each in operations} == {
        ("POST", f"{epic.STU3}/Appointment")
    }
    assert not any(each["parameters"] for each in operations)


@pytest.mark.parametrize("kind", ["argonaut", "epic"], indirect=True)
def test_a_time_that_somebody_took_since_it_was_proposed_is_taken(gateway: Gateway, playing: ehr.Sandbox) -> None:
    (offered,) = gateway.availability("ana", "elm", ehr.start_of(0), ehr.start_of(1)).slots
    booking = replace(trial(), key="k-1", slot_ids=(offered.external_id,))
    gateway.create(booking)
    with pytest.raises(Taken):
        gateway.create(replace(booking, key="k-2", patient_id="patient-3"))


@pytest.mark.parametrize("kind", ["athena"], indirect=True)
def test_each_search_names_the_practice_and_no_read_by_id_does(gateway: Gateway, playing: ehr.Sandbox) -> None:
    before = len(playing.calls())
    assert failed(list(conformance.read_only(gateway))) == []
    asked = [each for each in playing.calls()[before:] if each["path"].startswith("/fhir/") and each["parameters"]]
    searches = [each for each in asked if each["path"].count("/") == 2]
    assert searches
    assert all("ah-practice" in each["parameters"] for each in searches)
    assert not [each for each in asked if each not in searches and "ah-practice" in each["parameters"]]


@pytest.mark.parametrize("kind", ["athena"], indirect=True)
def test_a_check_without_the_practices_number_says_what_to_enter(playing: ehr.Sandbox) -> None:
    connection = playing.connect(kind="athena")
    told = {each.key: each for each in connect(connection).findings()}
    assert told["patient"].verdict == "no"
    assert "Enter the practice's number at the connection" in told["patient"].costs


@pytest.mark.parametrize("kind", ["athena"], indirect=True)
def test_an_ehr_that_writes_to_patients_itself_is_told_not_to(gateway: Gateway, playing: ehr.Sandbox) -> None:
    person = ehr.patient("patient-2", 2)
    playing.change({**person, "telecom": [{"system": "email", "value": "patient-2@example.org"}]})
    assert failed(list(conformance_writing.writing(gateway, trial()))) == []
    assert len(playing.appointments(status="cancelled")) == 1
    assert playing.control.get("messages")["messages"] == []


Told = dict[str, Record | GatewayError]


def less_one(told: Told, asked: list[str]) -> Told:
    return {each: said for each, said in told.items() if each != asked[0]}


def another_version(told: Told, asked: list[str]) -> Told:
    """What a cache still holds."""
    old = {each: replace(said, version="old") for each, said in told.items() if isinstance(said, PatientRecord)}
    return {**told, **old}


def somebody(told: Told, asked: list[str]) -> Told:
    return {**told, asked[-1]: told[asked[0]]}


@pytest.mark.parametrize("kind", ["fhir", "oracle"], indirect=True)
@pytest.mark.parametrize(
    ("wrongly", "says"),
    [
        (less_one, "1 of 1 were left out, and each takes a call of its own after all"),
        (another_version, "one differs from what a list says of it"),
        (somebody, "an id that does not exist came back"),
    ],
)
def test_an_ehr_that_does_not_read_several_as_it_declares_is_found_out(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, wrongly: Callable[[Told, list[str]], Told], says: str
) -> None:
    plain = FhirGateway.fetch_many

    def fetch_many(self: FhirGateway, kind: Kind, ids: list[str]) -> Told:
        return wrongly(dict(plain(self, kind, ids)), ids)

    monkeypatch.setattr(FhirGateway, "fetch_many", fetch_many)
    assert [(each.question, each.detail) for each in failed(list(conformance.read_only(gateway)))] == [
        ("Several can be read by one call", says)
    ]


@pytest.mark.parametrize("kind", ["fhir"], indirect=True)
def test_where_a_batch_is_not_answered_it_is_said(gateway: Gateway, playing: ehr.Sandbox) -> None:
    playing.fault("html-200", method="POST", count=None)
    (trouble,) = failed(list(conformance.read_only(gateway)))
    assert trouble.question == "Several can be read by one call"
    assert trouble.detail.startswith("malformed: ")


@pytest.mark.parametrize("kind", ["fhir"], indirect=True)
def test_where_each_takes_a_call_of_its_own_nothing_is_asked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FhirGateway.known_better, "reads_many", "")
    assert not_offered(list(conformance.read_only(gateway))) == {"Several can be read by one call"}


def test_a_time_that_is_taken_is_not_tried(gateway: Gateway, playing: ehr.Sandbox) -> None:
    results = list(conformance_writing.writing(gateway, trial(3)))
    assert [result.question for result in failed(results)] == ["The time is free"]
    assert len(playing.appointments()) == 1


@pytest.mark.parametrize("kind", ["fhir"], indirect=True)
def test_what_is_read_back_otherwise_fails_and_is_cancelled(gateway: Gateway, playing: ehr.Sandbox) -> None:
    playing.fault("wrong-readback", path="Appointment", method="GET", field="start", count=1)
    results = list(conformance_writing.writing(gateway, trial()))
    assert "what was read back differs in: start, end" in [result.detail for result in failed(results)]
    assert [each["id"] for each in playing.appointments(status="booked")] == ["b-1"]


# --- from the command line --------------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("ehr_conformance", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["argonaut"], indirect=True)
def test_where_nothing_can_be_cancelled_nothing_is_booked_unless_a_person_insists(
    gateway: Gateway, playing: ehr.Sandbox
) -> None:
    slug = gateway._connection.slug  # type: ignore[attr-defined]
    write = ("--write", "--patient", "patient-2", "--provider", "ana", "--location", "elm")
    when = ("--start", ehr.start_of(0).isoformat())
    with pytest.raises(CommandError, match="Nothing was booked"):
        run(slug, *write, *when)
    assert len(playing.appointments(status="booked")) == 1
    assert "cancel by hand in the EHR" in run(slug, *write, *when, "--leave-booked")
    assert len(playing.appointments(status="booked")) == 2


@pytest.mark.parametrize("kind", ["fhir", "oracle", "athena"], indirect=True)
def test_the_command_reads_only_unless_asked_to_write(gateway: Gateway, playing: ehr.Sandbox) -> None:
    slug = gateway._connection.slug  # type: ignore[attr-defined]
    assert run(slug).endswith("12 questions, 0 failed\n")
    assert len(playing.appointments()) == 1
    said = run(
        slug,
        "--write",
        "--patient",
        "patient-2",
        "--provider",
        "ana",
        "--location",
        "elm",
        "--start",
        ehr.start_of(0).isoformat(),
        "--type",
        f"{ehr.TYPE_SYSTEM}|FOLLOWUP",
    )
    assert said.endswith("20 questions, 0 failed\n")
    assert len(playing.appointments(status="cancelled")) == 1


@pytest.mark.parametrize("kind", ["fhir"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--write",), "name --patient, --provider, --location, --start. Nothing was sent."),
        (("--write", "--patient", "p", "--provider", "a", "--location", "e", "--start", "tomorrow"), "with its offset"),
        (("--write", "--patient", "p", "--provider", "a", "--location", "e", "--start", "2020-01-01T09:00Z"), "past"),
    ],
)
def test_a_call_that_is_not_complete_says_what_is_missing(
    gateway: Gateway, arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        run(gateway._connection.slug, *arguments)  # type: ignore[attr-defined]


def test_a_connection_there_is_not() -> None:
    with pytest.raises(CommandError, match="connect_ehr"):
        run("nobody")
