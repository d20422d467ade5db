"""athenahealth's form: events by topic and signed, open times booked by id over REST, and e-mails of its own."""

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import FhirClient, Json, issue_code
from tests.sandbox.receiver import Received, Receiver
from tests.sandbox.test_topic_subscriptions import make_due

PRACTICE = "195900"
SYSTEM = f"urn:athenahealth:athenanet:appointment:{PRACTICE}"
TOPICS = "https://api.platform.athenahealth.com/fhir/r4/SubscriptionTopic"
CONTENT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content"
SECRET = "a random shared secret"

pytestmark = pytest.mark.long


@pytest.fixture
def settings_of_sandbox(settings_of_sandbox: SandboxSettings) -> SandboxSettings:
    settings_of_sandbox.dialect = "athena"
    return settings_of_sandbox


@pytest.fixture
def ehr(server: SandboxServer) -> FhirClient:
    return FhirClient(server.origin, f"ah-practice=Organization/a-1.Practice-{PRACTICE}")


def rest(ehr: FhirClient, method: str, path: str, **form: str) -> requests.Response:
    return ehr.session.request(method, f"{ehr.origin}/v1/{PRACTICE}/{path}", data=form, timeout=10)


def book(ehr: FhirClient, slot: Json, patient: str = "patient-050", **form: str) -> Json:
    answer = rest(ehr, "PUT", f"appointments/{slot['id']}", patientid=patient, appointmenttypeid="FOLLOWUP", **form)
    assert answer.status_code == 200, answer.text
    (booked,) = answer.json()
    return dict(booked)


def subscribe(ehr: FhirClient, receiver: Receiver, topic: str, **change: object) -> requests.Response:
    resource = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "tests",
        "criteria": f"{TOPICS}/{topic}",
        "channel": {
            "type": "rest-hook",
            "endpoint": receiver.url,
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": CONTENT, "valueCode": "id-only"}]},
        },
    }
    return ehr.create(resource | change, X_Hub_Secret=SECRET)


def status_of(received: Received) -> Json:
    bundle = json.loads(received.body)
    (entry,) = bundle["entry"]
    assert (bundle["type"], entry["resource"]["resourceType"]) == ("history", "SubscriptionStatus")
    return dict(entry["resource"])


def focus(received: Received) -> str:
    (event,) = status_of(received)["notificationEvent"]
    assert event["focus"]["identifier"]["system"] == SYSTEM
    return str(event["focus"]["identifier"]["value"])


def messages(ehr: FhirClient) -> list[tuple[str, str, str]]:
    found = ehr.control("GET", "messages").json()["messages"]
    return [(each["kind"], each["appointment"], each["patient"]) for each in found]


def patient_with_email(ehr: FhirClient, wanted: bool = True) -> str:
    for patient in ehr.all("Patient"):
        has_email = any(each["system"] == "email" for each in patient.get("telecom", []))
        if has_email is wanted:
            return str(patient["id"])
    raise AssertionError("no such patient in the clinic")


def test_an_event_names_the_appointment_by_its_identifier_and_is_signed(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        created = subscribe(ehr, receiver, "Appointment.schedule")
        assert (created.status_code, created.json()["status"]) == (201, "active")
        assert SECRET not in created.text
        booked = book(ehr, ehr.free_slots()[0])
        received = receiver.next()
    digest = hmac.new(SECRET.encode(), received.body, hashlib.sha256).hexdigest()
    assert received.headers["X-Hub-Signature"] == f"sha256={digest}"
    assert "X-Event-Id" not in received.headers
    status = status_of(received)
    assert status["topic"] == f"{TOPICS}/Appointment.schedule"
    assert status["subscription"] == {"reference": f"Subscription/{created.json()['id']}"}
    (event,) = status["notificationEvent"]
    assert event["focus"] == {"identifier": {"system": SYSTEM, "value": booked["appointmentid"]}}
    found = ehr.all(f"Appointment?identifier={SYSTEM}|{booked['appointmentid']}")
    assert [each["status"] for each in found] == ["booked"]


def test_counters_begin_anew_with_each_bundle_and_each_event_has_an_id(ehr: FhirClient) -> None:
    with Receiver() as receiver:
        subscribe(ehr, receiver, "Appointment.schedule")
        for slot in ehr.free_slots()[:3]:
            book(ehr, slot)
        statuses = [status_of(receiver.next()) for _ in range(3)]
    assert [each["eventsSinceSubscriptionStart"] for each in statuses] == ["1", "1", "1"]
    assert [each["notificationEvent"][0]["eventNumber"] for each in statuses] == ["1", "1", "1"]
    assert len({each["notificationEvent"][0]["id"] for each in statuses}) == 3


def test_several_events_in_one_bundle_are_numbered_within_it(server: SandboxServer, ehr: FhirClient) -> None:
    ehr.control("POST", "settings", {"gather_seconds": 600})
    slots = ehr.free_slots()[:3]
    with Receiver() as receiver:
        subscribe(ehr, receiver, "Appointment.schedule")
        made = [book(ehr, slot)["appointmentid"] for slot in slots]
        make_due(server)
        status = status_of(receiver.next())
    assert (status["eventsSinceSubscriptionStart"], status["eventsInNotification"]) == ("3", 3)
    assert [event["eventNumber"] for event in status["notificationEvent"]] == ["1", "2", "3"]
    assert [event["focus"]["identifier"]["value"] for event in status["notificationEvent"]] == made


def test_each_kind_of_change_has_its_topic(ehr: FhirClient) -> None:
    heard = []
    with Receiver() as receiver:
        for topic in ("schedule", "cancel", "reschedule", "update", "check-in", "check-out"):
            assert subscribe(ehr, receiver, f"Appointment.{topic}").status_code == 201
        made = book(ehr, ehr.free_slots()[0])["appointmentid"]
        heard.append(status_of(receiver.next())["topic"])
        for action, body in (
            ("move", {"start": "2026-03-12T23:00:00Z"}),
            ("move", {"location": "lakeview"}),
            ("cancel", {}),
            ("uncancel", {}),
        ):
            ehr.control("POST", f"appointments/{made}/{action}", body)
            heard.append(status_of(receiver.next())["topic"])
        assert receiver.received.empty()
    assert [each.rpartition(".")[2] for each in heard] == ["schedule", "reschedule", "update", "cancel", "schedule"]


def test_what_fails_lets_later_events_pass_and_comes_again(
    settings_of_sandbox: SandboxSettings, ehr: FhirClient
) -> None:
    settings_of_sandbox.notification_backoff_seconds = 4
    slots = ehr.free_slots()[:2]
    with Receiver(500) as receiver:
        subscribe(ehr, receiver, "Appointment.schedule")
        first = book(ehr, slots[0])["appointmentid"]
        assert focus(receiver.next()) == first
        second = book(ehr, slots[1])["appointmentid"]
        assert [focus(receiver.next()) for _ in range(2)] == [second, first]


def test_a_subscription_outlives_failures_and_the_dead_letter_can_be_replayed(
    settings_of_sandbox: SandboxSettings, ehr: FhirClient
) -> None:
    settings_of_sandbox.notification_attempts = 1
    with Receiver(500) as receiver:
        identity = subscribe(ehr, receiver, "Appointment.schedule").json()["id"]
        book(ehr, ehr.free_slots()[0])
        failed = receiver.next()
        book(ehr, ehr.free_slots()[0])
        receiver.next()
        assert ehr.get(f"Subscription/{identity}").json()["status"] == "active"
        dead = ehr.control("GET", "notifications").json()["notifications"][1]
        assert dead["state"] == "dead"
        ehr.control("POST", f"notifications/{dead['number']}/redeliver")
        assert receiver.next().body == failed.body


@pytest.mark.parametrize(
    "change",
    [
        {"criteria": "Appointment?"},
        {"criteria": f"{TOPICS}/Appointment.vanish"},
        {
            "channel": {
                "type": "rest-hook",
                "endpoint": "http://127.0.0.1:9/",
                "_payload": {"extension": [{"url": CONTENT, "valueCode": "full-resource"}]},
            }
        },
    ],
)
def test_only_topics_and_only_ids(ehr: FhirClient, change: Json) -> None:
    with Receiver() as receiver:
        assert subscribe(ehr, receiver, "Appointment.schedule", **change).status_code == 422


def test_topics_are_listed(ehr: FhirClient) -> None:
    found = ehr.get("SubscriptionTopic").json()
    assert f"{TOPICS}/Appointment.cancel" in {entry["fullUrl"] for entry in found["entry"]}
    assert found["total"] == 10


def test_a_search_says_which_practice_is_meant(ehr: FhirClient) -> None:
    unnamed = ehr.get("Patient?_count=1")
    assert (unnamed.status_code, issue_code(unnamed)) == (400, "required")
    assert "`ah-practice`" in unnamed.text
    by_form = ehr.call("POST", "Patient/_search", data={"birthdate": "1800-01-01"})
    assert by_form.status_code == 400
    others = ehr.get("Patient?_count=1&ah-practice=Organization/a-1.Practice-1")
    assert (others.status_code, issue_code(others)) == (403, "forbidden")
    own = ehr.get(f"Patient?_count=1&{ehr.scope}", headers={"Prefer": "handling=strict"})
    assert own.status_code == 200, own.text
    following = {each["relation"]: each["url"] for each in own.json()["link"]}["next"]
    assert ehr.get(following).status_code == 200, "the link to the next page is complete"
    assert ehr.get("Practitioner/chen").status_code == 200, "an id needs no practice"


def test_open_times_of_a_department_in_local_time(ehr: FhirClient) -> None:
    query = "appointments/open?departmentid=riverside&providerid=chen&startdate=03/05/2026&enddate=03/06/2026"
    found = rest(ehr, "GET", query).json()
    days = ("2026-03-05T05:00:00Z", "2026-03-07T05:00:00Z")
    free = ehr.all(f"Slot?status=free&schedule.actor=Practitioner/chen&start=ge{days[0]}&start=lt{days[1]}&_sort=start")
    assert [each["appointmentid"] for each in found["appointments"]] == [each["id"] for each in free]
    assert found["totalcount"] == len(free) > 0
    first, start = found["appointments"][0], datetime.fromisoformat(free[0]["start"]).astimezone(UTC)
    assert (first["date"], first["starttime"]) == (f"{start:%m/%d/%Y}", f"{start.hour - 5:02}:{start:%M}")
    assert (first["duration"], first["appointmentstatus"], first["providerid"]) == (30, "o", "chen")


def test_an_open_time_is_booked_under_its_own_id(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    booked = book(ehr, slot, bookingnote="Window seat")
    assert (booked["appointmentid"], booked["appointmentstatus"], booked["patientid"]) == (
        slot["id"],
        "f",
        "patient-050",
    )
    assert rest(ehr, "GET", f"appointments/{slot['id']}").json() == [booked]
    stored = ehr.get(f"Appointment/{slot['id']}").json()
    assert (stored["status"], stored["start"], stored["comment"]) == ("booked", slot["start"], "Window seat")
    assert [each["actor"]["reference"] for each in stored["participant"]] == [
        "Patient/patient-050",
        "Practitioner/chen",
        "Location/riverside",
    ]


def test_a_taken_time_is_409_and_keeps_its_patient(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    book(ehr, slot)
    again = rest(ehr, "PUT", f"appointments/{slot['id']}", patientid="patient-060", appointmenttypeid="FOLLOWUP")
    assert (again.status_code, again.json()) == (409, {"error": "The appointment is not available."})
    assert rest(ehr, "GET", f"appointments/{slot['id']}").json()[0]["patientid"] == "patient-050"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"patientid": "nobody", "appointmenttypeid": "FOLLOWUP"}, 400),
        ({"appointmenttypeid": "FOLLOWUP"}, 400),
        ({"patientid": "patient-050"}, 400),
    ],
)
def test_a_booking_that_lacks_something_takes_nothing(ehr: FhirClient, form: Json, status: int) -> None:
    slot = ehr.free_slots()[0]
    answer = rest(ehr, "PUT", f"appointments/{slot['id']}", **form)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert ehr.get(f"Slot/{slot['id']}").json()["status"] == "free"
    assert messages(ehr) == []


def test_cancelled_by_its_patients_id_the_time_is_open_and_can_be_booked_again(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    book(ehr, slot)
    path = f"appointments/{slot['id']}/cancel"
    assert rest(ehr, "PUT", path, patientid="patient-060").status_code == 400
    assert ehr.get(f"Appointment/{slot['id']}").json()["status"] == "booked"
    done = rest(ehr, "PUT", path, patientid="patient-050", cancellationreason="Cannot come")
    assert (done.status_code, done.json()["status"]) == (200, "x")
    stored = ehr.get(f"Appointment/{slot['id']}").json()
    assert (stored["status"], stored["cancelationReason"]["text"]) == ("cancelled", "Cannot come")
    assert rest(ehr, "PUT", path, patientid="patient-050").status_code == 409
    again = book(ehr, slot, "patient-060")
    assert again["appointmentid"] != slot["id"]
    assert ehr.get(f"Appointment/{slot['id']}").json()["status"] == "cancelled"


def test_it_writes_to_the_patient_unless_told_not_to(ehr: FhirClient) -> None:
    reachable, mute = patient_with_email(ehr), patient_with_email(ehr, wanted=False)
    first, second, third = ehr.free_slots()[:3]
    book(ehr, first, reachable)
    book(ehr, second, reachable, donotsendconfirmationemail="true")
    book(ehr, third, mute)
    assert messages(ehr) == [("confirmation e-mail", first["id"], reachable)]


def test_fhir_can_only_be_read(ehr: FhirClient) -> None:
    made = book(ehr, ehr.free_slots()[0])["appointmentid"]
    present = ehr.get(f"Appointment/{made}").json()
    for method, path in (("POST", "Appointment"), ("PUT", f"Appointment/{made}"), ("PATCH", f"Appointment/{made}")):
        answer = ehr.call(method, path, json=present)
        assert (answer.status_code, issue_code(answer)) == (405, "not-supported")
    assert ehr.get(f"Appointment/{made}").json() == present


def test_the_rest_interface_needs_the_token_too(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    url = f"{ehr.origin}/v1/{PRACTICE}/appointments/{slot['id']}"
    form = {"patientid": "patient-050", "appointmenttypeid": "FOLLOWUP"}
    assert requests.put(url, data=form, timeout=10).status_code == 401
    assert ehr.get(f"Slot/{slot['id']}").json()["status"] == "free"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "appointments/nothing", 404),
        ("GET", "patients", 404),
        ("DELETE", "appointments/nothing", 405),
        ("GET", "appointments/open?startdate=03/05/2026&enddate=03/06/2026", 400),
        ("GET", "appointments/open?departmentid=riverside&startdate=2026-03-05&enddate=03/06/2026", 400),
    ],
)
def test_errors_are_json_of_its_own(ehr: FhirClient, method: str, path: str, status: int) -> None:
    answer = rest(ehr, method, path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
