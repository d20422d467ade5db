"""The mapper: what the EHR really sends, what it means here, and each change tried first and taken back."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from config.desk import mapper
from integrations import code_notes, mapping, mapping_mirror
from integrations.meanings import HL7_REASONS, Key
from integrations.models import CodeChange, CodeMapping, Connection, InboundEvent
from scheduling import guards
from scheduling.admin.display import slot
from scheduling.models import (
    Appointment,
    AppointmentType,
    CancellationNote,
    Coverage,
    ExternalId,
    Opening,
    Patient,
    Plan,
    Provider,
    WorkItem,
)
from scheduling.worklist import ask_staff
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of


def cancelled(practice: Practice, external: str = "a-1", **codes: Any) -> Appointment:
    return factories.appointment(
        practice.patient,
        practice.chen,
        practice.riverside,
        source=practice.source,
        external=external,
        **{"status": "cancelled", "status_code": "cancelled", **codes},
    )


def stored(practice: Practice, body: dict[str, Any], subject: str = "Appointment/a-1") -> InboundEvent:
    return InboundEvent.objects.create(
        connection=practice.connection,
        via="webhook",
        dedupe_key=f"event-{InboundEvent.objects.count()}",
        subject_key=subject,
        body=json.dumps(body).encode(),
        due_at=timezone.now(),
        received_at=timezone.now(),
        status="done",
    )


@pytest.fixture
def path(practice: Practice) -> str:
    return f"/admin/connections/{practice.connection.pk}/codes/"


def test_unmapped_codes_stand_on_top_with_what_they_hold_up(ira: Client, practice: Practice, path: str) -> None:
    gone = cancelled(practice, reason_code="x-9", type_code="FUP", type_display="Followup visit")
    cancelled(practice, "a-2", reason_code="pt-1")
    cancelled(practice, "a-3", reason_code="pt-1")
    opening = practice.opening(freed_by=gone)
    guards.hold_and_ask(opening, Opening.Held.REASON)
    practice.opening(freed_by=gone, held="reason", status="closed", closed_reason="cut_off")
    event = stored(practice, {})
    CodeMapping.objects.create(
        connection=practice.connection, domain="reason", code="pt-1", target="rebookable", state="mapped"
    )
    CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9")
    page = ira.get(path)  # reasons are what waits
    assert page.context["domain"] == "reason"
    first, second = page.context["lines"]
    assert (first.seen.key.code, first.seen.count, first.holds, first.seen.event_id) == (
        "x-9",
        1,
        [opening.pk],
        event.pk,
    )
    assert (second.seen.key.code, second.seen.count, second.general.label) == ("pt-1", 2, "the time may be offered")
    assert f"holds up 1 opening: {opening.pk}" in text_of(page)
    (line,) = ira.get(path + "?domain=type").context["lines"]
    assert (line.guess, line.guess_label) == (practice.followup.code, "Follow-up")


def test_a_guess_is_accepted_with_one_click_and_taken_back_with_one(ira: Client, practice: Practice, path: str) -> None:
    row = CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9")
    item = ask_staff("mapping.reason", "A code is not mapped", dedupe_key=f"mapping:{row.pk}", subject=row)
    form = {"domain": "reason", "system": "", "code": "x-9"}
    for wrong in ("booked", "x"):
        assert "Nothing was changed" in said(ira, ira.post(path + "map/", {**form, "target": wrong}))
    answer = ira.post(path + "map/", {**form, "target": "not_rebookable"})
    assert said(ira, answer) == "“x-9” means: the time is not offered. You can undo it below."
    row.refresh_from_db()
    item.refresh_from_db()
    assert (row.target, item.status, item.done_by) == ("not_rebookable", "done", "ira")
    change = CodeChange.objects.get()
    assert "Undo" in text_of(ira.get(path + "?domain=reason"))
    assert said(ira, ira.post(f"{path}undo/{change.pk}/")) == "“x-9”: the last change was taken back."
    row.refresh_from_db()
    assert row.state == "unmapped"
    assert "Nothing was changed" in said(ira, ira.post(f"{path}undo/{change.pk}/"))


def test_who_hears_of_it_is_said_before_offers_are_withdrawn(ira: Client, practice: Practice, path: str) -> None:
    form = {"domain": "reason", "system": "", "code": "x-9", "location": ""}
    ira.post(path + "map/", {**form, "target": "rebookable"})
    opening = practice.opening(freed_by=cancelled(practice, reason_code="x-9"), status="offering", waves_sent=1)
    factories.offer(opening, practice.entry())
    page = ira.post(path + "map/", {**form, "target": ""})
    assert "1 offer that rests on what x-9 means now is withdrawn." in text_of(page)
    assert "The time is kept for you to decide about." in text_of(page)
    page = ira.post(path + "map/", {**form, "target": "not_rebookable"})
    assert "The time is closed and not offered." in text_of(page)
    opening.refresh_from_db()
    assert (opening.held, CodeMapping.objects.get().target) == ("", "rebookable")
    assert ira.post(path + "map/", {**form, "target": "", "sure": "1"}).status_code == 302
    opening.refresh_from_db()
    assert (opening.held, CodeMapping.objects.get().target) == ("reason", "")


@pytest.mark.parametrize(
    ("kind", "system", "code", "target", "says"),
    [
        ("status", "", "CX", "booked", "The time is closed and not offered."),
        ("status", "", "CX", "", "The time is kept for you to decide about."),
        ("status", "", "noshow", "", "The time is closed and not offered."),
        ("reason", HL7_REASONS, "prov", "", "The time is closed and not offered."),
        ("reason", "", "x-9", "ask_staff", "The time is kept for you to decide about."),
        ("type", "", "FUP", "", "The time is kept for you to decide about."),
        ("plan", "", "PPO-1", "", "The time stays open for others on the list."),
    ],
)
def test_what_becomes_of_the_time_is_said_before(
    practice: Practice, kind: str, system: str, code: str, target: str, says: str
) -> None:
    row = CodeMapping(connection=practice.connection, domain=kind, system=system, code=code)
    assert mapper.time_then(row, target) == says


def test_trying_shows_before_and_after_changes_nothing_and_is_on_record(
    ira: Client, practice: Practice, path: str
) -> None:
    for kind, row, name in (("provider", practice.chen, "d-1"), ("location", practice.riverside, "l-1")):
        factories.external_id(practice.source, kind, row, name)
    person = ExternalId.objects.get(kind="patient", object_id=practice.patient.pk).value
    coding = {"coding": [{"system": "urn:t", "code": "FUP", "display": "Visit"}]}
    body = {
        "resourceType": "Appointment",
        "id": "a-1",
        "status": "cancelled",
        "appointmentType": coding,
        "cancelationReason": {"coding": [{"system": "urn:r", "code": "x-9"}]},
        "participant": [
            {"actor": {"reference": each}} for each in (f"Patient/{person}", "Practitioner/d-1", "Location/l-1")
        ],
    }
    event = stored(practice, body)
    query = "?domain=reason&system=urn%3Ar&code=x-9&target=rebookable"
    page = ira.get(f"{path}try/{event.pk}/{query}")
    words = {field.name: (field.says, field.before, field.after) for field in page.context["trial"].fields}
    assert words["Cancellation reason"] == ("x-9", "not mapped", "the time may be offered")
    assert words["Kind of visit"] == ("FUP Visit", "not mapped", "not mapped")
    assert words["Clinician"] == ("d-1", "Dr. Mei Chen", "Dr. Mei Chen")
    assert words["Its time"][1:] == (
        "kept for staff: the reason is not mapped",
        "kept for staff: the kind of visit is not mapped",
    )
    assert "Make this change" in text_of(page)
    assert {field.name for field in page.context["trial"].fields if field.differs} == {
        "Cancellation reason",
        "Its time",
    }
    assert page.context["differs"]
    assert not CodeMapping.objects.exists()
    assert not CodeChange.objects.exists()
    assert set(records("view")) == {
        ("integrations.inboundevent", str(event.pk)),
        ("scheduling.patient", str(practice.patient.pk)),
    }
    assert "Alvarez" not in text_of(page)


def test_an_event_that_only_names_its_appointment_is_tried_on_what_we_hold(
    ira: Client, practice: Practice, path: str
) -> None:
    cancelled(practice, reason_code="x-9")
    event = stored(practice, {"resourceType": "Appointment", "id": "a-1"})
    page = ira.get(f"{path}try/{event.pk}/?domain=reason&code=x-9&target=not_rebookable")
    fields = {field.name: field for field in page.context["trial"].fields}
    assert (fields["Its time"].before, fields["Its time"].after) == (
        "kept for staff: the reason is not mapped",
        "not offered",
    )
    assert "The event only names the appointment." in text_of(page)


def test_those_who_may_not_are_turned_away(dana: Client, practice: Practice, path: str) -> None:
    assert dana.get(path).status_code == 403
    form = {"domain": "reason", "system": "", "code": "x-9", "target": "rebookable"}
    assert dana.post(path + "map/", form).status_code == 403
    event = f"{path}try/{stored(practice, {}).pk}/"
    assert dana.get(event).status_code == 403
    # The codes may be seen by whoever may see them; what came with a patient takes a right of its own.
    staff = User.objects.get(username="dana")
    staff.user_permissions.add(Permission.objects.get(codename="view_codemapping"))
    assert (dana.get(path).status_code, dana.get(event).status_code) == (200, 403)
    assert not CodeMapping.objects.exists()


def test_what_the_ehr_says_in_words_is_shown_to_staff_and_the_look_recorded(dana: Client, practice: Practice) -> None:
    gone = cancelled(practice, reason_code="(free text)")
    CancellationNote.objects.create(appointment=gone, text="moved to another town")
    opening = practice.opening(freed_by=gone)
    guards.hold_and_ask(opening, Opening.Held.REASON)
    for path in (
        f"/admin/openings/{opening.pk}/",
        f"/admin/scheduling/workitem/{WorkItem.objects.get().pk}/change/",
    ):
        before = len(records("view"))
        assert "moved to another town" in text_of(dana.get(path))
        assert ("scheduling.patient", str(practice.patient.pk)) in records("view")[before:]


def test_each_code_comes_with_an_example_that_names_no_patient(
    maria: Client, ira: Client, practice: Practice, path: str
) -> None:
    visit = cancelled(practice, reason_code="x-9")
    assert visit.start
    assert visit.end
    time = slot(visit.start, visit.end, practice.riverside.zone).replace("\xa0", " ")
    words = text_of(maria.get(f"{path}?domain=reason"))
    assert f"for example {time}, Dr. Mei Chen, Riverside" in words
    assert "Alvarez" not in words
    assert "for example" not in text_of(ira.get(f"{path}?domain=reason"))  # the place is none of hers


def test_saving_nothing_says_so_and_the_page_of_statuses_says_what_a_mapping_opens(
    ira: Client, practice: Practice, path: str
) -> None:
    cancelled(practice, reason_code="x-9")
    answer = said(ira, ira.post(f"{path}map/", {"domain": "reason", "system": "", "code": "x-9", "target": ""}))
    assert answer == "Nothing was changed: choose from the list what the code means."
    assert "is opened once the status is mapped to cancelled" in text_of(ira.get(f"{path}?domain=status"))


def test_what_a_code_means_once_its_own_meaning_is_gone_is_said(ira: Client, practice: Practice, path: str) -> None:
    form = {"domain": "reason", "system": HL7_REASONS, "code": "oth-weath"}
    here = {**form, "location": practice.riverside.pk}
    for each in (form, here):
        ira.post(f"{path}map/", {**each, "target": "rebookable"})
    for each, left in (
        (here, "means at Riverside what it means everywhere"),
        (form, "means what the standard says: staff decide each time"),
    ):
        answer = said(ira, ira.post(f"{path}map/", {**each, "target": ""}))
        assert answer == f"“oth-weath” {left}. You can undo it below."
    history = text_of(ira.get(f"/admin/connections/{practice.connection.pk}/mappings/"))
    assert "the time may be offered → staff decide each time, by the standard" in history
    assert "the time may be offered → as everywhere" in history


@pytest.mark.parametrize("code", ["", "z" * 121, "FOLLOW\x00UP"], ids=["none", "too long", "NUL"])
def test_a_code_that_no_ehr_can_have_sent_changes_nothing(
    ira: Client, practice: Practice, path: str, code: str
) -> None:
    answer = ira.post(f"{path}map/", {"domain": "status", "system": "", "code": code, "target": "cancelled"})
    assert said(ira, answer) == "Nothing was changed: choose from the list what the code means."
    assert not CodeMapping.objects.exists()
    assert not CodeChange.objects.exists()


def test_who_maps_a_status_hears_how_many_times_it_opens(ira: Client, practice: Practice, path: str) -> None:
    for number in range(2):
        visit = cancelled(practice, f"a-{number}", status="unknown", status_code="CX")
        Appointment.objects.filter(pk=visit.pk).update(status_seen_at=visit.created_at)
    answer = said(ira, ira.post(f"{path}map/", {"domain": "status", "code": "CX", "target": "cancelled"}))
    assert answer == (
        "“CX” means: cancelled. You can undo it below. 2 times given up for it before are opened now, and offered once "
        "the EHR shows that nobody has booked there."
    )


def insured(practice: Practice, patient: Patient | None = None, code: str = "PPO-1", **fields: Any) -> Coverage:
    return Coverage.objects.create(
        patient=patient or practice.patient,
        source=practice.source,
        external_id=f"c-{Coverage.objects.count()}",
        system="Organization/acme",
        code=code,
        display="Acme: Open PPO",
        **fields,
    )


def test_insurance_plans_stand_there_with_their_patients_an_example_and_a_guess(
    ira: Client, maria: Client, practice: Practice, path: str
) -> None:
    Plan.objects.create(code="acme-ppo", name="Acme Open PPO")
    practice.followup.needs_insurance = True
    practice.followup.save()
    factories.entry(practice.patient, practice.followup)
    insured(practice)
    insured(practice)  # twice the same patient
    insured(practice, factories.patient(), code="HMO-2")
    page = maria.get(f"{path}?domain=plan")
    first, second = sorted(page.context["lines"], key=lambda line: line.seen.key.code, reverse=True)
    assert (first.seen.key, first.seen.count, first.guess_label) == (
        ("plan", "Organization/acme", "PPO-1"),
        1,
        "Acme Open PPO",
    )
    assert first.example.startswith("a wait for Follow-up since ")
    assert (second.seen.count, second.example) == (1, "")
    assert {line.example for line in ira.get(f"{path}?domain=plan").context["lines"]} == {""}  # none of hers
    words = text_of(page)
    assert "Who has it is offered a visit that needs insurance by a person only." in words
    assert "Alvarez" not in words
    form = {"domain": "plan", "system": "Organization/acme", "code": "PPO-1", "target": "acme-ppo"}
    assert said(ira, ira.post(path + "map/", form)) == "“PPO-1” means: Acme Open PPO. You can undo it below."
    mapping_mirror.apply(CodeMapping.objects.get(domain="plan").pk)
    assert set(Coverage.objects.filter(code="PPO-1").values_list("plan__code", flat=True)) == {"acme-ppo"}


def test_a_plan_is_tried_on_what_pays_for_the_patient_as_it_was_last_read(
    ira: Client, practice: Practice, path: str
) -> None:
    Plan.objects.create(code="acme-ppo", name="Acme Open PPO")
    insured(practice)
    person = ExternalId.objects.get(kind="patient", object_id=practice.patient.pk).value
    query = "?domain=plan&system=Organization%2Facme&code=PPO-1&target=acme-ppo"
    for body in ({}, {"resourceType": "Patient", "id": person, "name": [{"family": "Alvarez"}]}):
        event = stored(practice, body, f"Patient/{person}")
        page = ira.get(f"{path}try/{event.pk}/{query}")
        fields = {field.name: (field.says, field.before, field.after) for field in page.context["trial"].fields}
        assert fields["Insurance plan"] == ("Acme: Open PPO", "not known: a person decides", "Acme Open PPO")
    assert Coverage.objects.get().plan is None
    assert ira.get(f"{path}?domain=plan").context["lines"][0].seen.event_id == event.pk
    assert ("scheduling.patient", str(practice.patient.pk)) in records("view")


def test_what_the_ehr_says_of_insurance_is_shown_where_the_plan_is_entered(dana: Client, practice: Practice) -> None:
    plan = Plan.objects.create(code="acme-ppo", name="Acme Open PPO")
    entry = practice.entry()
    words = text_of(dana.get(f"/admin/waitlist/waitlistentry/{entry.pk}/change/"))
    assert "Not known" in words
    insured(practice, entry.patient, plan=plan, position=1, valid_until=date(2099, 12, 31))
    insured(practice, entry.patient, code="HMO-2", position=2)
    words = text_of(dana.get(f"/admin/waitlist/waitlistentry/{entry.pk}/change/"))
    says = "Acme: Open PPO, here Acme Open PPO, until Dec 31, 2099; Acme: Open PPO, not mapped"
    assert f"As the EHR says Acme Open PPO The EHR says: {says}. What is chosen here goes before it." in words
    assert "Insurance Acme: Open PPO, here Acme Open PPO" in text_of(
        dana.get(f"/admin/scheduling/patient/{entry.patient_id}/change/")
    )


def test_without_plans_the_page_says_when_they_come_and_why_they_do_not(
    ira: Client, practice: Practice, path: str
) -> None:
    words = text_of(ira.get(f"{path}?domain=plan"))
    assert "Insurance is read for whoever waits for a kind of visit that is marked “insurance needed”" in words
    assert "entered by staff" not in words
    Connection.objects.update(coverage_problem="It does not let us read insurance.")
    words = text_of(ira.get(f"{path}?domain=plan"))
    assert "It does not let us read insurance. Plans are entered by staff, at the entry on the waitlist." in words


def test_what_holds_up_most_comes_first_then_what_comes_most_often(
    ira: Client, maria: Client, practice: Practice, path: str
) -> None:
    for number, (code, held) in enumerate([("b", 0), ("b", 0), ("a", 1), ("c", 2), ("c", 2), ("d", 0)]):
        gone = cancelled(practice, f"v-{number}", reason_code=code)
        if held:
            opening = practice.opening(freed_by=gone, start=factories.in_days(2 + number))
            guards.hold_and_ask(opening, Opening.Held.REASON)
    for code in ("m", "n", "n"):
        cancelled(practice, f"m-{code}-{Appointment.objects.count()}", reason_code=code)
    for code in ("m", "n"):
        mapping.map_code(practice.connection, "reason", "", code, "rebookable")
    lines = ira.get(path + "?domain=reason").context["lines"]
    assert [line.seen.key.code for line in lines] == ["c", "a", "b", "d", "n", "m"]
    # What it holds up leads to the opening for whoever may see that, and to nowhere for anybody else.
    link = f'href="/admin/openings/{lines[1].holds[0]}/"'
    assert link in maria.get(path + "?domain=reason").content.decode()
    assert link not in ira.get(path + "?domain=reason").content.decode()


@pytest.mark.parametrize(
    ("kind", "code", "target", "says"),
    [
        ("reason", "x-9", "rebookable", "the time may be offered"),
        ("status", "noshow", "noshow", "no-show"),
        ("provider", "p-1", "chen", "Dr. Mei Chen"),
    ],
    ids=["mapped", "by the standard", "as the EHR names it"],
)
def test_what_it_means_already_is_no_change(
    ira: Client, practice: Practice, path: str, kind: str, code: str, target: str, says: str
) -> None:
    factories.external_id(practice.source, "provider", practice.chen, "p-1")
    form = {
        "domain": kind,
        "system": "",
        "code": code,
        "target": str(practice.chen.pk) if kind == "provider" else target,
    }
    if kind == "reason":
        ira.post(f"{path}map/", form)
    before = (CodeMapping.objects.count(), CodeChange.objects.count())
    assert said(ira, ira.post(f"{path}map/", form)) == f"Nothing was changed: “{code}” already means: {says}."
    assert (CodeMapping.objects.count(), CodeChange.objects.count()) == before


def test_at_one_place_a_code_may_be_kept_to_what_it_means_everywhere(
    ira: Client, practice: Practice, path: str
) -> None:
    form = {"domain": "status", "system": "", "code": "noshow", "target": "noshow", "location": practice.riverside.pk}
    assert said(ira, ira.post(f"{path}map/", form)).startswith("“noshow” at Riverside means: no-show.")
    assert said(ira, ira.post(f"{path}map/", form)) == (
        "Nothing was changed: “noshow” at Riverside already means: no-show."
    )
    assert ira.post(f"{path}map/", {**form, "location": "elsewhere"}).status_code == 404
    assert CodeChange.objects.count() == 1


def test_who_looked_before_somebody_else_changed_it_changes_nothing(
    ira: Client, maria: Client, practice: Practice, path: str
) -> None:
    cancelled(practice, reason_code="x-9")
    form = {"domain": "reason", "system": "", "code": "x-9"}

    def shown() -> dict[str, str]:
        (line,) = ira.get(f"{path}?domain=reason").context["lines"]
        return {**form, "seen": str(line.changed)}

    old = shown()
    assert said(maria, maria.post(f"{path}map/", {**shown(), "target": "ask_staff"})).startswith("“x-9” means:")
    for late in ({"target": "rebookable"}, {"target": ""}):
        assert said(ira, ira.post(f"{path}map/", {**old, **late})) == (
            "Nothing was changed: somebody changed what “x-9” means since you looked. It is shown as it is now."
        )
    assert CodeMapping.objects.get().target == "ask_staff"
    # The same press twice is no change by somebody else.
    now = shown()
    for answer in ("“x-9” means:", "Nothing was changed: “x-9” already means:"):
        assert said(ira, ira.post(f"{path}map/", {**now, "target": "rebookable"})).startswith(answer)
    page = ira.get(f"{path}try/{stored(practice, {}).pk}/", {**form, "target": "not_rebookable"})
    assert f'name="seen" value="{CodeChange.objects.latest("pk").pk}"' in page.content.decode()


def test_the_second_press_of_an_undo_hears_that_it_was_done(ira: Client, practice: Practice, path: str) -> None:
    ira.post(f"{path}map/", {"domain": "reason", "system": "", "code": "x-9", "target": "rebookable"})
    opening = practice.opening(freed_by=cancelled(practice, reason_code="x-9"), status="offering", waves_sent=1)
    undo = f"{path}undo/{CodeChange.objects.get().pk}/"
    assert said(ira, ira.post(undo)) == "“x-9”: the last change was taken back."
    ira.post(f"{path}map/", {"domain": "reason", "system": "", "code": "x-9", "target": "rebookable"})
    factories.offer(opening, practice.entry())
    assert said(ira, ira.post(undo)) == "Nothing was changed: it was taken back already."
    # Nor is anything taken back from under what somebody changed since the page was shown.
    former = f"{path}undo/{CodeChange.objects.latest('pk').pk}/"
    mapping.map_code(practice.connection, "reason", "", "x-9", "ask_staff", by="maria")
    assert said(ira, ira.post(former)) == (
        "Nothing was changed: somebody changed this code meanwhile. Look at it again."
    )
    assert CodeMapping.objects.get().target == "ask_staff"


def test_what_a_code_means_at_one_ehr_says_nothing_of_the_same_code_of_another(
    ira: Client, practice: Practice, path: str
) -> None:
    other = factories.connection("oak")
    mapping.map_code(other, "reason", "", "x-9", "rebookable", by="maria")
    mapping.map_code(other, "reason", "", "o-1", "ask_staff", by="maria")
    gone = factories.appointment(source=other.source, status="cancelled", status_code="cancelled", reason_code="x-9")
    guards.hold_and_ask(practice.opening(source=other.source, freed_by=gone), Opening.Held.REASON)
    stored(practice, {}, "Appointment/a-1")
    cancelled(practice, reason_code="x-9")

    def shown() -> dict[str, str]:
        (line,) = ira.get(f"{path}?domain=reason").context["lines"]
        assert (line.seen.key.code, line.seen.count, line.holds) == ("x-9", 1, [])
        return {"domain": "reason", "system": "", "code": "x-9", "seen": str(line.changed)}

    assert "not mapped" in text_of(ira.get(f"{path}?domain=reason"))
    for target, says in (
        ("rebookable", "“x-9” means: the time may be offered."),
        ("", "“x-9” means nothing any more."),
    ):
        assert said(ira, ira.post(f"{path}map/", {**shown(), "target": target})).startswith(says)
    assert dict(CodeMapping.objects.filter(connection=other).values_list("code", "target")) == {
        "x-9": "rebookable",
        "o-1": "ask_staff",
    }
    assert CodeMapping.objects.get(connection=practice.connection).state == "unmapped"


def test_a_code_that_means_something_at_one_place_alone_stands_there(
    ira: Client, practice: Practice, path: str
) -> None:
    mapping.map_code(practice.connection, "status", "", "BMP", "bumped", location=practice.lakeview)
    (line,) = ira.get(f"{path}?domain=status").context["lines"]
    assert (line.seen.key.code, line.general.target, [each.label for each in line.special]) == (
        "BMP",
        "",
        ["cancelled by the practice"],
    )


def test_the_words_of_the_ehr_for_a_reason_stand_beside_its_number_and_make_the_guess(
    ira: Client, practice: Practice, path: str
) -> None:
    cancelled(practice, reason_code="17")
    for display in ("", "Patient request"):
        code_notes.note(practice.connection, Key("reason", "", "17"), display)
    (line,) = ira.get(f"{path}?domain=reason").context["lines"]
    assert (line.seen.display, line.seen.count, line.guess) == ("Patient request", 1, "rebookable")


def test_a_code_of_a_public_list_waits_for_nobody_when_ours_is_taken_away(
    ira: Client, practice: Practice, path: str
) -> None:
    form = {"domain": "reason", "system": HL7_REASONS, "code": "oth-weath"}
    for target in ("rebookable", ""):
        ira.post(f"{path}map/", {**form, "target": target})
        page = ira.get(f"{path}?domain=reason")
        assert ("by the standard" in text_of(page)) is not bool(target)
    assert "Everything the EHR sent so far has a meaning." in text_of(page)
    assert {kind: count for kind, _, count in page.context["kinds"]}["reason"] == 0


def test_how_long_a_kind_of_visit_is_and_whether_it_needs_insurance_stands_beside_it(
    ira: Client, practice: Practice, path: str
) -> None:
    cancelled(practice, type_code="FUP")
    mapping.map_code(practice.connection, "type", "", "FUP", practice.followup.code)
    words = text_of(ira.get(f"{path}?domain=type"))
    assert ("Follow-up 30 min" in words, "insurance needed" in words) == (True, False)
    AppointmentType.objects.update(needs_insurance=True)
    assert "Follow-up 30 min, insurance needed" in text_of(ira.get(f"{path}?domain=type"))


def test_a_department_has_a_status_of_its_own(ira: Client, practice: Practice, path: str) -> None:
    cancelled(practice, status_code="cancelled")
    form = {"domain": "status", "system": "", "code": "cancelled", "location": str(practice.lakeview.pk)}
    answer = said(ira, ira.post(path + "map/", {**form, "target": "bumped"}))
    assert answer == "“cancelled” at Lakeview means: cancelled by the practice. You can undo it below."
    (line,) = ira.get(path + "?domain=status").context["lines"]
    assert (line.general.label, line.by_list, line.guess) == ("cancelled", True, "")
    assert [(each.location.name, each.label) for each in line.special] == [("Lakeview", "cancelled by the practice")]
    words = text_of(ira.get(path + "?domain=status"))
    assert "cancelled by the standard Lakeview: cancelled by the practice Remove" in words
    assert mapping.CodeBook(practice.connection).status("cancelled") == "cancelled"
    ira.post(f"{path}undo/{CodeChange.objects.get().pk}/")
    assert ira.get(path + "?domain=status").context["lines"][0].special == []
    # Of a language there is one meaning only, wherever it is.
    ira.post(path + "map/", {**form, "domain": "language", "code": "S", "target": "es"})
    assert CodeMapping.objects.get(code="S").location is None


def test_two_ids_of_one_clinician_or_place_are_noticed_by_likeness(ira: Client, practice: Practice, path: str) -> None:
    rows = {
        "provider": [
            practice.chen,
            *(factories.provider(name=each) for each in ("Chen, Mei", "Dr. Ann Lee", "Dr. Dan Lee")),
        ],
        "location": [
            practice.riverside,
            *(factories.location(name=each) for each in ("River-side", "Harbor East", "Harbor West")),
        ],
    }
    for kind, (ours, twin, *others) in rows.items():
        for name, row in zip("abcd", (ours, twin, *others), strict=True):
            factories.external_id(practice.source, kind, row, name)
        lines = {line.seen.key.code: line for line in ira.get(f"{path}?domain={kind}").context["lines"]}
        assert [lines[code].guess for code in "abcd"] == [str(twin.pk), str(ours.pk), "", ""]
        assert all(line.is_mapped and line.by_list for line in lines.values())
        answer = ira.post(path + "map/", {"domain": kind, "system": "", "code": "b", "target": str(ours.pk)})
        assert said(ira, answer).startswith(f"“b” means: {ours.name}")
        assert ExternalId.objects.get(kind=kind, value="b").object_id == ours.pk
        lines = {line.seen.key.code: line for line in ira.get(f"{path}?domain={kind}").context["lines"]}
        assert [lines[code].by_list for code in "ab"] == [True, False]


@pytest.mark.parametrize(
    ("npi", "name", "is_twin"),
    [
        ("", "Chen, Mei", True),
        ("1999999935", "Dr. Mei Chen", False),
        ("1999999901", "Dr. Mei Chen-Alvarez", True),
    ],
    ids=["without a number", "another number", "the same number"],
)
def test_the_npi_tells_clinicians_of_one_name_apart(
    ira: Client, practice: Practice, path: str, npi: str, name: str, is_twin: bool
) -> None:
    Provider.objects.filter(pk=practice.chen.pk).update(npi="1999999901")
    factories.external_id(practice.source, "provider", practice.chen, "a")
    factories.external_id(practice.source, "provider", factories.provider(name=name, npi=npi), "b")
    lines = {line.seen.key.code: line for line in ira.get(f"{path}?domain=provider").context["lines"]}
    assert lines["b"].guess == (str(practice.chen.pk) if is_twin else "")


def test_codes_of_every_kind_are_shown_mapped_and_had_back(ira: Client, practice: Practice, path: str) -> None:
    Plan.objects.create(code="acme-ppo", name="Acme Open PPO")
    cancelled(practice, type_code="FUP", reason_code="x-9", status_code="CX")
    Patient.objects.filter(pk=practice.patient.pk).update(language_code="S")
    insured(practice)
    targets = {
        "type": ("", "FUP", practice.followup.code),
        "reason": ("", "x-9", "rebookable"),
        "status": ("", "CX", "noshow"),
        "language": ("", "S", "es"),
        "plan": ("Organization/acme", "PPO-1", "acme-ppo"),
    }
    for kind, (system, code, target) in targets.items():
        (line,) = ira.get(f"{path}?domain={kind}").context["lines"]
        assert (tuple(line.seen.key), line.seen.count, line.is_mapped) == ((kind, system, code), 1, False)
        ira.post(path + "map/", {"domain": kind, "system": system, "code": code, "target": target})
        (line,) = ira.get(f"{path}?domain={kind}").context["lines"]
        assert (line.general.target, line.is_mapped, line.guess, line.special) == (target, True, "", [])
        ira.post(f"{path}undo/{line.general.last.pk}/")
        assert not ira.get(f"{path}?domain={kind}").context["lines"][0].is_mapped


def tried(client: Client, path: str, event: InboundEvent, **change: str) -> dict[str, tuple[str, str, str]]:
    page = client.get(f"{path}try/{event.pk}/", change)
    return {field.name: (field.says, field.before, field.after) for field in page.context["trial"].fields}


def test_each_meaning_is_tried_field_by_field(ira: Client, practice: Practice, path: str) -> None:
    factories.external_id(practice.source, "provider", practice.chen, "d-1")
    factories.external_id(practice.source, "location", practice.lakeview, "l-1")
    double = factories.provider(name="Dr. Ann Lee")
    body: dict[str, Any] = {
        "resourceType": "Appointment",
        "id": "a-1",
        "status": "CX",
        "start": "2030-05-06T14:00:00Z",
        "end": "2030-05-06T14:30:00Z",
        "cancelationReason": {"coding": [{"code": "x-9"}]},
        "participant": [{"actor": {"reference": each}} for each in ("Practitioner/d-1", "Location/l-1")],
    }
    event, place = stored(practice, body), str(practice.lakeview.pk)
    mapping.map_code(practice.connection, "reason", "", "x-9", "rebookable")
    # The reason of a status that nobody knew counts as soon as the status means cancelled.
    fields = tried(ira, path, event, domain="status", code="CX", target="cancelled")
    assert fields["Status"] == ("CX", "not mapped", "cancelled")
    assert fields["Cancellation reason"] == ("x-9", "the time may be offered", "the time may be offered")
    assert fields["Its time"][1:] == (
        "frees nothing: the status is not mapped",
        "offered, after a fresh look at the EHR",
    )
    bumped = tried(ira, path, event, domain="status", code="CX", target="bumped", location=place)
    assert bumped["Status"][2] == "cancelled by the practice"
    assert bumped["Its time"][2] == "not offered; staff are asked to put the patient on the list"
    elsewhere = str(practice.riverside.pk)
    same = tried(ira, path, event, domain="status", code="CX", target="bumped", location=elsewhere)
    assert same["Status"][1] == same["Status"][2]
    assert tried(ira, path, event, domain="provider", code="d-1", target=str(double.pk))["Clinician"] == (
        "d-1",
        "Dr. Mei Chen",
        "Dr. Ann Lee",
    )
    assert tried(ira, path, event, domain="location", code="l-1", target=elsewhere)["Location"][1:] == (
        "Lakeview",
        "Riverside",
    )
    # What is no meaning at all is not tried.
    assert ira.get(f"{path}try/{event.pk}/?domain=status&code=CX&target=x").context["change"] is None
    in_words = stored(practice, {**body, "status": "cancelled", "cancelationReason": {"text": "moved away"}})
    fields = tried(ira, path, in_words, domain="status", code="CX", target="cancelled")
    assert fields["Cancellation reason"][1] == "words, for a person to read"
    assert fields["Its time"][1] == "kept for staff to decide"
    cancelled(practice, "a-7", reason_code="x-9", status_code="cancelled")
    CancellationNote.objects.create(appointment=Appointment.objects.get(), text="moved away")
    named = stored(practice, {"resourceType": "Appointment", "id": "a-7"}, "Appointment/a-7")
    fields = tried(ira, path, named, domain="provider", code="d-1", target=str(double.pk))
    assert (fields["Clinician"], fields["Its time"][1]) == (
        ("d-1", "Dr. Mei Chen", "Dr. Ann Lee"),
        "kept for staff to decide",
    )
    assert not Opening.objects.exists()


def test_a_language_is_tried_and_what_cannot_be_read_is_said(
    ira: Client, dana: Client, practice: Practice, path: str
) -> None:
    speaks = [{"language": {"coding": [{"code": "S"}]}, "preferred": True}]
    body = {"resourceType": "Patient", "id": "p-9", "name": [{"family": "Alvarez"}], "communication": speaks}
    event = stored(practice, body, "Patient/p-9")
    assert tried(ira, path, event, domain="language", code="S", target="es") == {
        "Language": ("S", "not mapped: English", "es")
    }
    broken = stored(practice, {"resourceType": "Appointment", "id": "a-1", "status": "booked", "start": "soon"})
    page = ira.get(f"{path}try/{broken.pk}/")
    assert (page.context["trial"].fields, "It cannot be read" in text_of(page)) == ((), True)
    unknown = ira.get(f"{path}try/{stored(practice, {}, 'Appointment/never-seen').pk}/")
    assert "we hold nothing by the name it gives" in text_of(unknown)
    other = factories.connection("oak")
    assert ira.get(f"/admin/connections/{other.pk}/codes/try/{event.pk}/").status_code == 404


def test_a_code_is_tried_on_the_latest_event_about_whatever_carries_it(
    ira: Client, practice: Practice, path: str
) -> None:
    factories.external_id(practice.source, "provider", practice.chen, "d-1")
    idle = factories.provider(name="Dr. Idle")
    factories.external_id(practice.source, "provider", idle, "d-2")
    first = cancelled(practice, "a-1", reason_code="x-9")
    cancelled(practice, "a-2", reason_code="x-9")
    stored(practice, {}, "Appointment/a-2")
    event = stored(practice, {}, "Appointment/a-1")
    cancelled(practice, "a-3", reason_code="x-9")  # of the first load, with no event of its own
    lines = {line.seen.key.code: line.seen for line in ira.get(f"{path}?domain=provider").context["lines"]}
    assert (lines["d-1"].event_id, lines["d-1"].count, lines["d-2"].event_id) == (event.pk, 3, None)
    (line,) = ira.get(f"{path}?domain=reason").context["lines"]
    assert (line.seen.event_id, line.seen.row_id, line.seen.count) == (event.pk, first.pk, 3)
    assert ira.get(f"{path}try/{event.pk}/?domain=provider&code=d-1").context["target"] == ""
    mapping.map_code(practice.connection, "reason", "", "x-9", "ask_staff")
    assert ira.get(f"{path}try/{event.pk}/?domain=reason&code=x-9").context["target"] == "ask_staff"
