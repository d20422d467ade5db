"""Nobody is booked twice: slots, overlaps and races."""

import threading

import pytest

from integrations.ehr.sandbox.server import SandboxServer
from tests.sandbox.client import FhirClient, Json, appointment, client_of, issue_code

CANCEL = [{"op": "replace", "path": "/status", "value": "cancelled"}]


def slot_status(ehr: FhirClient, slot: Json) -> str:
    return str(ehr.get(f"Slot/{slot['id']}").json()["status"])


def without_slot(slot: Json, **more: str) -> Json:
    booking = appointment(slot, **more)
    del booking["slot"]
    return booking


def test_twenty_at_once_and_one_wins(server: SandboxServer, ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    before = ehr.get("Appointment?_summary=count").json()["total"]
    together = threading.Barrier(20)
    statuses: list[int] = []
    codes: set[str] = set()

    def book(number: int) -> None:
        client = client_of(server)
        together.wait()
        answer = client.create(appointment(slot, patient=f"patient-{100 + number}"))
        statuses.append(answer.status_code)
        if answer.status_code != 201:
            codes.add(issue_code(answer))

    threads = [threading.Thread(target=book, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 19
    assert codes == {"conflict"}
    assert ehr.get("Appointment?_summary=count").json()["total"] == before + 1
    assert slot_status(ehr, slot) == "busy"


def test_booking_takes_the_slot_and_cancelling_frees_it(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    made = ehr.create(appointment(slot)).json()
    assert slot_status(ehr, slot) == "busy"
    refused = ehr.create(appointment(slot, patient="patient-060"))
    assert (refused.status_code, issue_code(refused)) == (409, "conflict")
    ehr.patch(f"Appointment/{made['id']}", CANCEL, version=1)
    assert slot_status(ehr, slot) == "free"
    assert ehr.create(appointment(slot, patient="patient-060")).status_code == 201
    back = ehr.patch(f"Appointment/{made['id']}", [{"op": "replace", "path": "/status", "value": "booked"}], version=2)
    assert (back.status_code, issue_code(back)) == (409, "conflict")
    assert ehr.get(f"Appointment/{made['id']}").json()["status"] == "cancelled"


@pytest.mark.parametrize("status", ["cancelled", "noshow", "entered-in-error"])
def test_every_ending_frees_the_slot(ehr: FhirClient, status: str) -> None:
    slot = ehr.free_slots()[0]
    made = ehr.create(appointment(slot)).json()
    ehr.patch(f"Appointment/{made['id']}", [{"op": "replace", "path": "/status", "value": status}], version=1)
    assert slot_status(ehr, slot) == "free"


def test_deleting_frees_the_slot(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    made = ehr.create(appointment(slot)).json()
    ehr.call("DELETE", f"Appointment/{made['id']}")
    assert slot_status(ehr, slot) == "free"


def test_an_appointment_without_slot_takes_those_at_its_time(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    assert ehr.create(without_slot(slot)).status_code == 201
    assert slot_status(ehr, slot) == "busy"
    again = ehr.create(without_slot(slot, patient="patient-060"))
    assert (again.status_code, issue_code(again)) == (409, "conflict")


def test_an_overlap_counts_also_where_there_is_no_slot(ehr: FhirClient) -> None:
    evening = {"id": "none", "start": "2026-03-12T23:00:00Z", "end": "2026-03-12T23:30:00Z"}
    overlapping = evening | {"start": "2026-03-12T23:29:00Z", "end": "2026-03-12T23:59:00Z"}
    adjacent = evening | {"start": "2026-03-12T23:30:00Z", "end": "2026-03-12T23:45:00Z"}
    assert ehr.create(without_slot(evening)).status_code == 201
    assert ehr.create(without_slot(overlapping)).status_code == 409
    assert ehr.create(without_slot(overlapping, practitioner="raman")).status_code == 201
    assert ehr.create(without_slot(adjacent)).status_code == 201


def test_a_proposed_appointment_holds_nothing(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    assert ehr.create(appointment(slot) | {"status": "proposed"}).status_code == 201
    assert slot_status(ehr, slot) == "free"
    assert ehr.create(appointment(slot)).status_code == 201


def test_a_blocked_slot_cannot_be_booked(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    ehr.patch(f"Slot/{slot['id']}", [{"op": "replace", "path": "/status", "value": "busy-unavailable"}])
    assert ehr.create(appointment(slot)).status_code == 409
    assert ehr.create(without_slot(slot)).status_code == 409


def test_moving_frees_the_old_time_and_a_refused_move_changes_nothing(ehr: FhirClient) -> None:
    old, new, other = ehr.free_slots()[:3]
    made = ehr.create(appointment(old)).json()
    ehr.create(appointment(other, patient="patient-060"))
    moved = made | {"start": new["start"], "end": new["end"], "slot": [{"reference": f"Slot/{new['id']}"}]}
    assert ehr.call("PUT", f"Appointment/{made['id']}", json=moved).status_code == 200
    assert (slot_status(ehr, old), slot_status(ehr, new)) == ("free", "busy")
    taken = made | {"start": other["start"], "end": other["end"], "slot": [{"reference": f"Slot/{other['id']}"}]}
    assert ehr.call("PUT", f"Appointment/{made['id']}", json=taken).status_code == 409
    assert (slot_status(ehr, new), slot_status(ehr, other)) == ("busy", "busy")
    assert ehr.get(f"Appointment/{made['id']}").json()["start"] == new["start"]


def test_checking_in_keeps_the_time(ehr: FhirClient) -> None:
    slot = ehr.free_slots()[0]
    made = ehr.create(appointment(slot)).json()
    for version, status in enumerate(("arrived", "checked-in", "fulfilled"), start=1):
        change = [{"op": "replace", "path": "/status", "value": status}]
        assert ehr.patch(f"Appointment/{made['id']}", change, version=version).status_code == 200
    assert slot_status(ehr, slot) == "busy"


def test_a_slot_at_another_time_is_refused(ehr: FhirClient) -> None:
    first, second = ehr.free_slots()[:2]
    wrong = appointment(first) | {"slot": [{"reference": f"Slot/{second['id']}"}]}
    answer = ehr.create(wrong)
    assert (answer.status_code, issue_code(answer)) == (422, "invariant")
    assert slot_status(ehr, second) == "free"
