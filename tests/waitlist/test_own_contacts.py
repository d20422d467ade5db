"""Patients change how they are reached: masked, by a code from the new contact, and never behind their back."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.models import AccessRecord
from scheduling import worklist
from scheduling.models import ContactPoint, ExternalId, Location, Patient, PatientWrite, WorkItem
from tests import factories, race
from tests.desk.pages import text_of
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import heading, nobody_has_guessed, text  # noqa: F401 - a fixture
from waitlist import (
    consent,
    consent_forms,
    contact_codes,
    entries,
    house_words,
    links,
    messages,
    own_contacts,
    replies,
    wrong_person,
)
from waitlist.contact_codes import Answer, Written
from waitlist.models import ConsentRecord, ContactChange, Message, Reply, WaitlistEntry, WrongPersonReport
from waitlist.own_contacts import Change

pytestmark = pytest.mark.django_db
SHOWN = ("", "point", "address", "language")
OLD, NEW, MAIL = "+12125550111", "+12125550188", "robin@example.org"
SAID = {"do": "save", "value": "(212) 555-0188", "agrees": "yes"}


@pytest.fixture
def entry(scene: Scene) -> WaitlistEntry:
    entry = scene.waiting(
        1, patient_phone=OLD, patient_email=MAIL, patient_given_name="Robin", patient_birth_date=date(1980, 1, 1)
    )[0]
    factories.external_id(scene.source, ExternalId.Kind.PATIENT, entry.patient, "p-1")
    return entry


@pytest.fixture
def tokens(entry: WaitlistEntry) -> links.Tokens:
    return links.make_request_link(entry, timezone.now())


@pytest.fixture
def path(tokens: links.Tokens) -> str:
    return f"/r/{tokens.text}/contact/"


def post(path: str, **fields: Any) -> Any:
    """Press a button, in a browser without cookies that checks forgery protection."""
    return Client(enforce_csrf_checks=True).post(path, fields)


def contact(patient: Patient, value: str = OLD) -> ContactPoint:
    return next(each for each in patient.contact_points.all() if each.value == value)


def own(path: str, patient: Patient, value: str = OLD) -> str:
    """The page of one of the patient's contacts."""
    return f"{path}p{contact(patient, value).pk}/"


def code_sent() -> str:
    found = re.search(r"\b\d{6}\b", Message.objects.filter(kind="contact_code").latest("pk").body)
    assert found
    return found[0]


def another(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def in_use(patient: Patient) -> list[str]:
    return [each.value for each in patient.contact_points.exclude(use="old").order_by("system", "pk")]


def test_a_new_number_counts_once_its_code_came_back(entry: WaitlistEntry, path: str, client: Client) -> None:
    person = entry.patient
    assert "See or change how we reach you" in text(client.get(path.removesuffix("contact/")))
    before = in_use(person)
    answer = post(own(path, person), **SAID)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{path}code/")
    code = Message.objects.get(kind="contact_code")
    assert (code.address, code.channel, code.contact_point, code.initiated) == (NEW, "sms", None, False)
    assert "Robin" not in code.body
    assert messages.may_send(code).action == "send"
    # Nothing is changed, and nothing else may go there, before the code is back.
    assert in_use(person) == before
    assert not PatientWrite.objects.exists()
    assert not ContactPoint.objects.filter(address_index=code.address_index).exists()
    assert not ConsentRecord.objects.filter(address_index=code.address_index).exists()
    assert code_sent() not in str(pages.rows()["waitlist.ContactChange"])

    assert "ends with 88" in text(client.get(f"{path}code/"))
    answer = post(f"{path}code/", do="save", code=f" {code_sent()[:3]} {code_sent()[3:]}")
    assert answer.headers["Location"] == f"{path}saved/"
    assert heading(client.get(f"{path}saved/")) == "Your change is saved"
    assert in_use(person) == [MAIL, NEW]
    assert contact(person).use == "old"
    row = PatientWrite.objects.get()
    assert [(each["detail"], each["old"], each["new"]) for each in row.wanted] == [("phone", OLD, NEW)]
    assert row.requested_by == f"patient {person.pk}"
    line = ConsentRecord.objects.get(address_index=code.address_index)
    assert (line.action, line.source, line.patient) == ("granted", "form", person)
    assert line.wording_version == house_words.version_name("en", "consent", "sms")
    assert line.statement == f"The patient's own page, contact change {ContactChange.objects.get().pk}"
    assert consent.allowed(person, contact(person, NEW), "sms")


def test_those_known_before_hear_that_something_changed_and_not_what(entry: WaitlistEntry, path: str) -> None:
    post(own(path, entry.patient), **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    told = Message.objects.filter(kind="contact_changed").order_by("channel")
    assert [(each.address, each.initiated) for each in told] == [(MAIL, False), (OLD, False)]
    for each in told:
        assert messages.may_send(each).action == "send"
        assert not re.search(r"0188|88\b|Robin", each.body + each.subject)
        assert "(212) 555-0100" in each.body
    assert not WorkItem.objects.exists()


def test_of_what_is_on_record_hardly_anything_is_shown(entry: WaitlistEntry, path: str, client: Client) -> None:
    Patient.objects.update(address="2 Oak St, Troy NY 12180")
    factories.contact(entry.patient, "+12125550133", rank=3, guardian=True)
    factories.contact(entry.patient, "+12125550144", rank=4, use="old")
    for step in ("", own("", entry.patient), own("", entry.patient, MAIL), "phone/", "email/", "address/", "language/"):
        for language in ("en", "es"):
            page = client.get(f"{path}{step}?lang={language}").content.decode()
            assert not re.search(r"5550111|555-0111|robin|Oak|Troy|12180|0133", page, re.IGNORECASE), step
    shown = text(client.get(path))
    assert "ends with 11" in shown
    assert "begins with r" in shown
    assert "ends with 33" not in shown
    assert "ends with 44" not in shown
    assert "We have one" in shown
    seen = AccessRecord.objects.filter(actor_name=f"patient {entry.patient_id}", action="view")
    assert {each.detail["page"] for each in seen} == {f"contact {step}".strip() for step in SHOWN}


def test_without_agreement_there_are_no_messages_and_no_line(entry: WaitlistEntry, path: str) -> None:
    post(f"{path}phone/", do="save", value="212 555 0188")
    post(f"{path}code/", do="save", code=code_sent())
    assert in_use(entry.patient) == [MAIL, OLD, NEW]
    row = contact(entry.patient, NEW)
    assert (row.use, row.can_text) == ("mobile", True)
    assert not consent.allowed(entry.patient, row, "sms")
    assert not ConsentRecord.objects.filter(address_index=row.address_index).exists()


def test_an_e_mail_address_is_added_by_a_code_from_there_in_the_words_of_the_page(
    entry: WaitlistEntry, path: str
) -> None:
    post(f"{path}email/?lang=es", do="save", value="Ana@Example.org", agrees="yes")
    code = Message.objects.get(kind="contact_code")
    assert (code.channel, code.address) == ("email", "ana@example.org")
    post(f"{path}code/?lang=es", do="save", code=code_sent())
    added = contact(entry.patient, "ana@example.org")
    assert added.use == ""
    line = ConsentRecord.objects.get(address_index=added.address_index)
    assert (line.channel, line.wording_version) == ("email", house_words.version_name("es", "consent", "email"))


@pytest.mark.parametrize(
    ("step", "value"),
    [("phone", "555"), ("phone", ""), ("phone", "212 555 0188 x3"), ("email", "ana"), ("email", "a@b"), ("email", "")]
    + [("email", each) for each in ("@example.org", "ana b@example.org", "ana@b@example.org", "ana@example.")],
)
def test_what_is_no_number_and_no_address_is_said_and_nothing_changes(
    entry: WaitlistEntry, path: str, step: str, value: str
) -> None:
    before = pages.rows()
    page = post(f"{path}{step}/", do="save", value=value)
    said = {
        "phone": "Write the phone number with its area code, ten digits.",
        "email": "Write the whole e-mail address, for example name@example.org.",
    }[step]
    assert (page.status_code, f"There is a problem {said} Nothing is changed." in text(page)) == (200, True)
    assert f'<a href="#value">{said}</a>' in page.content.decode()
    assert f"Error: {said}" in text(page), "at the field, too"
    assert pages.rows() == before


@pytest.mark.parametrize(
    ("step", "typed"),
    [
        ("phone", {"value": "555-01", "agrees": "yes"}),
        ("phone", {"value": "555-01"}),
        ("email", {"value": "ana@example", "agrees": "yes"}),
        ("address", {"line": "2 Oak St", "city": "Troy", "state": "NY"}),
        ("address", {"city": "Troy", "state": "NY", "postal_code": "12180"}),
    ],
)
def test_what_was_typed_stays_while_something_is_put_right(path: str, step: str, typed: dict[str, str]) -> None:
    page = post(f"{path}{step}/", do="save", **typed).content.decode()
    assert "There is a problem" in page
    for name, value in typed.items():
        assert re.search(rf'<input[^>]* name="{name}"[^>]* value="{value}"', page), name
    assert ('value="yes" checked' in page) == ("agrees" in typed)


def test_a_code_is_guessed_at_five_times(entry: WaitlistEntry, path: str, client: Client) -> None:
    post(own(path, entry.patient), **SAID)
    code = code_sent()
    assert "This is not the code we sent." in text(post(f"{path}code/", do="save", code=code[:5]))
    assert ContactChange.objects.get().tries == 0
    for _ in range(5):
        page = post(f"{path}code/", do="save", code=another(code))
    assert "A wrong code was typed too often." in text(page)
    tries = LogEntry.objects.get_for_object(ContactChange.objects.get()).order_by("pk")
    assert [each.changes_dict["tries"][1] for each in tries if "tries" in each.changes_dict][-5:] == list("12345")
    again = post(f"{path}code/", do="save", code=code)
    assert heading(again) == "This code does not work any more"
    assert 'name="code"' not in again.content.decode()
    assert text(again).endswith("Start again")
    assert "waits for its code" not in text(client.get(path))


def test_from_an_e_mail_starting_again_keeps_the_birth_year(entry: WaitlistEntry, tokens: links.Tokens) -> None:
    path, year = f"/r/{tokens.email}/contact/", {"birth_year": "1980"}
    post(f"{path}phone/", **SAID, **year)
    ContactChange.objects.update(tries=contact_codes.TRIES)
    page = post(f"{path}code/", do="save", code="000000", **year)
    assert heading(page) == "This code does not work any more"
    start = page.content.decode().partition("<h1>")[2]
    assert f'action="{path}?lang=en"' in start
    assert 'name="birth_year" value="1980"' in start
    assert in_use(entry.patient) == [MAIL, OLD]
    assert ContactChange.objects.get().tries == 5


def test_a_code_works_for_an_hour_and_the_newest_only(scene: Scene, entry: WaitlistEntry, path: str) -> None:
    post(own(path, entry.patient), **SAID)
    first = code_sent()
    post(own(path, entry.patient), **SAID | {"value": "212 555 0189"})
    second = code_sent()
    if first != second:
        assert "This is not the code we sent." in text(post(f"{path}code/", do="save", code=first))
    scene.pass_time(minutes=61)
    late = post(f"{path}code/", do="save", code=second)
    assert heading(late) == "This code does not work any more"
    assert "A code works for one hour." in text(late)
    assert text(late).endswith("Start again")
    assert 'name="code"' not in late.content.decode()
    scene.pass_time(days=1)  # on a page that was left open
    assert text(post(f"{path}code/", do="save", code=second)) == text(late)
    assert in_use(entry.patient) == [MAIL, OLD]


@pytest.mark.parametrize("state", ["confirmed", "staff"])
def test_a_button_pressed_twice_says_what_the_first_press_did(
    scene: Scene, entry: WaitlistEntry, path: str, state: str
) -> None:
    post(own(path, entry.patient), **SAID)
    code = code_sent()
    if state == "staff":
        factories.contact(entry.patient, NEW, guardian=True)
    pressed = [post(f"{path}code/", do="save", code=code).headers["Location"] for _ in range(2)]
    assert pressed == [f"{path}{'saved' if state == 'confirmed' else 'call'}/"] * 2
    assert ContactChange.objects.get().state == state


def test_new_contacts_are_asked_for_five_times_a_day_and_no_address_is_plagued(
    scene: Scene, entry: WaitlistEntry, path: str
) -> None:
    for _ in range(5):
        assert post(f"{path}phone/", **SAID).status_code == 303
    assert "We can send no more codes today." in text(post(f"{path}phone/", **SAID))
    other = scene.waiting(1)[0]
    theirs = f"/r/{links.make_request_link(other, timezone.now()).text}/contact/"
    assert post(f"{theirs}phone/", **SAID).headers["Location"] == f"{theirs}code/"
    assert Message.objects.filter(kind="contact_code").count() == 5
    post(f"{theirs}phone/", **SAID | {"value": "212 555 0189"})
    assert Message.objects.filter(kind="contact_code").count() == 6
    scene.pass_time(minutes=24 * 60 + 1)
    assert post(f"{path}phone/", **SAID).headers["Location"] == f"{path}code/"


def test_what_somebody_else_asked_for_stays_theirs(
    scene: Scene, entry: WaitlistEntry, path: str, client: Client
) -> None:
    """At the same number, too: a parent's is written to about the child, and may be the parent's own."""
    other = scene.waiting(1)[0]
    factories.contact(factories.patient(phone=None), NEW, guardian=True)
    theirs = f"/r/{links.make_request_link(other, timezone.now()).text}/contact/"
    post(f"{theirs}phone/", **SAID)
    code = code_sent()
    assert client.get(f"{path}code/").headers["Location"] == path
    post(f"{path}phone/", **SAID | {"value": "212 555 0189"})
    assert "ends with 88" in text(client.get(f"{theirs}code/"))
    assert post(f"{theirs}code/", do="save", code=code).headers["Location"] == f"{theirs}saved/"
    assert ContactChange.objects.get(patient=entry.patient).tries == 0
    scene.pass_time(minutes=61)
    assert heading(post(f"{path}code/", do="save", code=code)) == "This code does not work any more"


def frozen(person: Patient) -> None:
    """It reached somebody else, and was given up."""
    ContactPoint.objects.filter(pk=factories.contact(person, NEW).pk).update(state="frozen", use="old")


def guardians(person: Patient) -> None:
    factories.contact(person, NEW, guardian=True)


def stopped(person: Patient) -> None:
    """Whoever has it ended our texts."""
    factories.consents(factories.contact(factories.patient(), NEW), "revoked")


@pytest.mark.parametrize("make", [frozen, guardians, stopped])
def test_what_cannot_be_taken_looks_the_same_and_is_for_staff(
    entry: WaitlistEntry, path: str, client: Client, make: Any
) -> None:
    make(entry.patient)
    before = in_use(entry.patient)
    answer = post(f"{path}phone/", **SAID)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{path}code/")
    assert "ends with 88" in text(client.get(f"{path}code/"))
    assert "This is not the code we sent." in text(post(f"{path}code/", do="save", code="123456"))
    assert not Message.objects.filter(kind="contact_code").exists()
    assert WorkItem.objects.get().kind == "contact.check"
    assert in_use(entry.patient) == before


@pytest.mark.parametrize("answer", ["STOP", "wrong number"])
def test_who_has_the_number_and_wants_no_messages_keeps_it_from_being_taken(
    entry: WaitlistEntry, path: str, answer: str
) -> None:
    post(own(path, entry.patient), **SAID)
    reply = replies.receive("sms", "in-9", NEW, answer)
    replies.handle(reply.pk)
    WorkItem.objects.all().delete()
    done = post(f"{path}code/", do="save", code=code_sent())
    assert done.headers["Location"] == f"{path}call/"
    assert (in_use(entry.patient), ContactChange.objects.get().state) == ([MAIL, OLD], "staff")
    assert WorkItem.objects.get().kind == "contact.check"
    assert not PatientWrite.objects.exists()


def test_words_of_other_numbers_of_before_or_about_something_else_keep_none_from_being_taken(
    entry: WaitlistEntry, path: str
) -> None:
    post(own(path, entry.patient), **SAID)
    asked, wrong = ContactChange.objects.get(), Reply.Outcome.WRONG_PERSON
    before, here = asked.created_at - timedelta(minutes=1), asked.address_index
    for index, at, outcome in ((here, before, wrong), ("elsewhere", asked.created_at, wrong), (here, None, "noted")):
        Reply.objects.create(
            carrier_id=f"{index}:{outcome}",
            address=NEW,
            address_index=index,
            outcome=outcome,
            received_at=at or asked.created_at,
        )
    factories.contact(entry.patient, "+12125550133", rank=3, guardian=True)
    assert post(f"{path}code/", do="save", code=code_sent()).headers["Location"] == f"{path}saved/"


def test_a_number_on_file_gets_consent_and_nothing_else(entry: WaitlistEntry, path: str) -> None:
    factories.contact(entry.patient, NEW, consent=False)
    assert post(f"{path}phone/", **SAID).headers["Location"] == f"{path}code/"
    post(f"{path}code/", do="save", code=code_sent())
    assert consent.allowed(entry.patient, contact(entry.patient, NEW), "sms")
    assert not PatientWrite.objects.exists()
    assert not Message.objects.filter(kind="contact_changed").exists()


@pytest.mark.parametrize(
    ("before", "left", "sent"),
    [
        ("the new one is on file", [MAIL, NEW], [("phone", OLD, "")]),
        ("the new one was used once", [MAIL, NEW], [("phone", OLD, NEW)]),
        ("the old one is given up", [MAIL, NEW], [("phone", "", NEW)]),
        ("it rings at home", [MAIL, NEW], [("phone", OLD, NEW)]),
    ],
)
def test_a_number_takes_the_place_of_another_whatever_was_on_file(
    entry: WaitlistEntry, path: str, before: str, left: list[str], sent: list[tuple[str, str, str]]
) -> None:
    person, page = entry.patient, own(path, entry.patient)
    if before in ("the new one is on file", "the new one was used once"):
        factories.contact(person, NEW, rank=3, use="mobile" if "on file" in before else "old")
    if before == "it rings at home":
        ContactPoint.objects.filter(pk=contact(person).pk).update(use="home")
    post(page, **SAID)
    if before == "the old one is given up":
        ContactPoint.objects.filter(pk=contact(person).pk).update(use="old")
    post(f"{path}code/", do="save", code=code_sent())
    assert (in_use(person), contact(person).use) == (left, "old")
    assert contact(person, NEW).use == ("home" if before == "it rings at home" else "mobile")
    assert [(each["detail"], each["old"], each["new"]) for each in PatientWrite.objects.get().wanted] == sent
    assert NEW not in [each.address for each in Message.objects.filter(kind="contact_changed")]


def test_one_is_removed_here_and_in_the_ehr_and_the_last_one_is_kept(entry: WaitlistEntry, path: str) -> None:
    person = entry.patient
    assert post(own(path, person), do="remove").headers["Location"] == f"{path}saved/"
    assert in_use(person) == [MAIL]
    assert [(each["old"], each["new"]) for each in PatientWrite.objects.get().wanted] == [(OLD, "")]
    told = Message.objects.filter(kind="contact_changed").order_by("channel")
    assert [each.address for each in told] == [MAIL, OLD]
    assert all(messages.may_send(each).action == "send" for each in told)
    page = post(own(path, person, MAIL), do="remove")
    assert "There is a problem This is the only way we have to reach you, so we keep it." in text(page)
    assert in_use(person) == [MAIL]
    ContactPoint.objects.filter(pk=factories.contact(person, "+12125550122").pk).update(state="invalid")
    assert "This is the only way" in text(post(own(path, person, MAIL), do="remove"))


def test_address_and_language(entry: WaitlistEntry, path: str, client: Client) -> None:
    assert "Write street, city and ZIP code." in text(post(f"{path}address/", do="save", line="2 Oak St"))
    parts = {"line": "2 Oak St", "city": "Troy", "state": "NY", "postal_code": "12180"}
    assert post(f"{path}address/", do="save", **parts).headers["Location"] == f"{path}saved/"
    assert "We have this address already." in text(post(f"{path}address/", do="save", **parts))
    assert Message.objects.filter(kind="contact_changed").count() == 2
    assert "Choose one of the answers." in text(post(f"{path}language/", do="save", language="xx"))
    assert post(f"{path}language/", do="save", language="es").headers["Location"] == path
    entry.patient.refresh_from_db()
    assert (entry.patient.address, entry.patient.language) == ("2 Oak St, Troy NY 12180", "es")
    wanted = {each["detail"]: each["new"] for each in PatientWrite.objects.latest("pk").wanted}
    assert wanted == {"address": "2 Oak St, Troy NY 12180", "language": "es"}
    assert heading(client.get(path)) == "Cómo nos comunicamos con usted"


def test_from_an_e_mail_nothing_is_shown_or_done_before_the_birth_year(
    entry: WaitlistEntry, tokens: links.Tokens, client: Client
) -> None:
    path = f"/r/{tokens.email}/contact/"
    before = pages.rows()
    for step in ("", own("", entry.patient), "phone/", "address/"):
        page = client.get(f"{path}{step}")
        assert heading(page) == "First a question"
        assert "ends with" not in page.content.decode()
        assert heading(post(f"{path}{step}", **SAID)) == "First a question"
        assert heading(post(own(path, entry.patient), do="remove")) == "First a question"
    assert "This is not the year of birth that we know." in text(post(path, birth_year="1981"))
    assert pages.rows() == before
    page = post(path, birth_year="1980")
    assert "ends with 11" in text(page)
    assert 'name="birth_year" value="1980"' in page.content.decode()
    assert post(own(path, entry.patient), birth_year="1980", **SAID).status_code == 303
    assert post(f"{path}code/", do="save", code=code_sent()).status_code == 200
    assert in_use(entry.patient) == [MAIL, OLD]
    post(f"{path}code/", do="save", code=code_sent(), birth_year="1980")
    assert in_use(entry.patient) == [MAIL, NEW]


@pytest.mark.parametrize(
    ("step", "head", "says"),
    [
        ("saved", "Your change is saved", "Where we could reach you before, we say that something was changed"),
        ("call", "Please call us about this", "A person does it with you. Nothing is changed. Call (212) 555-0100"),
    ],
)
def test_from_an_e_mail_what_came_of_it_is_said_without_asking_again(
    entry: WaitlistEntry, tokens: links.Tokens, client: Client, step: str, head: str, says: str
) -> None:
    path, year = f"/r/{tokens.email}/contact/", {"birth_year": "1980"}
    post(f"{path}phone/", **SAID, **year)
    if step == "call":
        factories.contact(entry.patient, NEW, guardian=True)
    answer = post(f"{path}code/", do="save", code=code_sent(), **year)
    assert answer.headers["Location"] == f"{path}{step}/"
    page = client.get(answer.headers["Location"])
    assert (heading(page), says in text(page), "<form" in page.content.decode()) == (head, True, False)


def test_a_birth_year_is_kept_from_page_to_page_as_it_was_taken(tokens: links.Tokens) -> None:
    page = post(f"/r/{tokens.email}/contact/", birth_year=" 1980 ")
    assert heading(page) == "How we reach you"
    assert 'name="birth_year" value="1980"' in page.content.decode()


def test_birth_years_are_guessed_at_five_times(entry: WaitlistEntry, tokens: links.Tokens, client: Client) -> None:
    path = f"/r/{tokens.email}/contact/"
    for year in range(1950, 1955):
        post(path, birth_year=str(year))
    for page in (client.get(path), post(path, birth_year="1980")):
        assert heading(page) == "Please call us about this"


def test_who_shares_a_number_says_the_birth_year_too(entry: WaitlistEntry, path: str, client: Client) -> None:
    factories.patient(phone=OLD)
    assert heading(client.get(path)) == "First a question"
    post(own(path, entry.patient), do="remove")
    assert in_use(entry.patient) == [MAIL, OLD]
    assert heading(post(path, birth_year="1980")) == "How we reach you"


def minor(entry: WaitlistEntry) -> None:
    Patient.objects.filter(pk=entry.patient_id).update(birth_date=date(2012, 1, 1))


def restricted(entry: WaitlistEntry) -> None:
    Patient.objects.filter(pk=entry.patient_id).update(restricted=True)


def reached_somebody_else(entry: WaitlistEntry) -> None:
    """Before the link went out; those of before are dead."""
    earlier = timezone.now() - timedelta(minutes=1)
    wrong_person.freeze("phone", contact(entry.patient).address_index, now=earlier)


def reached_somebody_else_before(entry: WaitlistEntry) -> None:
    """Staff put another number there since."""
    reached_somebody_else(entry)
    ContactPoint.objects.filter(pk=contact(entry.patient).pk).update(use="old")


@pytest.mark.parametrize("make", [minor, restricted, reached_somebody_else, reached_somebody_else_before])
def test_what_only_a_person_may_change_is_not_shown_and_not_changed(
    entry: WaitlistEntry, path: str, client: Client, make: Any
) -> None:
    make(entry)
    before = pages.rows()
    for page in (client.get(path), client.get(own(path, entry.patient, MAIL))):
        assert (heading(page), "begins with" in text(page)) == ("Please call us about this", False)
    for step, fields in (
        ("phone/", SAID),
        (own("", entry.patient, MAIL), {"do": "remove"}),
        ("address/", {"do": "save", "line": "2 Oak St", "city": "Troy", "postal_code": "12180"}),
        ("language/", {"do": "save", "language": "es"}),
    ):
        assert heading(post(f"{path}{step}", **fields)) == "Please call us about this"
    assert pages.rows() == before


@pytest.mark.parametrize(
    ("how", "is_so"),
    [
        *(("nothing", False), ("birth date not known", False), ("18 today", False), ("18 tomorrow", True)),
        *(("reported", True), ("reported and freed", False), ("reported long ago", False)),
        *(("reported for another patient", False), ("frozen", True), ("frozen and past", False)),
    ],
)
def test_who_must_call_about_it(entry: WaitlistEntry, how: str, is_so: bool) -> None:
    person, now = entry.patient, timezone.now()
    if how.startswith("reported"):
        WrongPersonReport.objects.create(
            patient=factories.patient() if "another" in how else person,
            system="phone",
            address=OLD,
            reported_by="dana",
            reported_at=now - (timedelta(days=61) if "long ago" in how else timedelta(days=1)),
            undone_at=now if "freed" in how else None,
        )
    elif how.startswith("frozen"):
        use = "old" if "past" in how else "mobile"
        ContactPoint.objects.filter(pk=contact(person).pk).update(state="frozen", use=use)
    elif how != "nothing":
        born = {"18 today": date(2008, 3, 3), "18 tomorrow": date(2008, 3, 4)}.get(how)
        person.birth_date = born
        person.save()
    assert own_contacts.is_for_staff(person, now) is is_so


@pytest.mark.parametrize(
    ("how", "is_so"),
    [("both use it", True), ("past here", False), ("past there", False), ("a record that was replaced", False)],
)
def test_whose_number_is_shared(entry: WaitlistEntry, how: str, is_so: bool) -> None:
    other = factories.patient(phone=OLD, email=None)
    if how.startswith("past"):
        ContactPoint.objects.filter(pk=contact(entry.patient if how == "past here" else other).pk).update(use="old")
    elif how != "both use it":
        Patient.objects.filter(pk=other.pk).update(replaced_by=factories.patient())
    assert own_contacts.is_shared(entry.patient) is is_so


@pytest.mark.parametrize(
    ("fields", "agreed", "is_told"),
    [
        ({"state": "invalid"}, True, False),
        ({"guardian": True}, True, False),
        ({}, False, False),
        ({"use": "old"}, True, True),
    ],
    ids=["takes none", "a guardian's", "nobody agreed", "given up by it"],
)
def test_a_contact_that_goes_is_told_where_it_may_be_written_to(
    entry: WaitlistEntry, fields: dict[str, Any], agreed: bool, is_told: bool
) -> None:
    goes = factories.contact(entry.patient, NEW, consent=agreed, rank=3, **fields)
    known = own_contacts.known_ways(Change(entry.patient, None, timezone.now()), [goes])
    assert {each.value for each in known} == {OLD, MAIL} | ({NEW} if is_told else set())


def test_an_address_without_a_state_has_no_gap_and_the_same_language_is_no_news(entry: WaitlistEntry) -> None:
    change = Change(entry.patient, None, timezone.now())
    entry.patient.language = "es"
    entry.patient.save()
    own_contacts.choose_language(change, "es")
    assert not PatientWrite.objects.exists()
    parts = {"line": "2 Oak St", "city": "Troy", "state": "", "postal_code": "12180"}
    assert own_contacts.change_address(change, parts)
    entry.patient.refresh_from_db()
    assert entry.patient.address == "2 Oak St, Troy 12180"


def test_a_report_that_closes_the_page_while_a_code_is_out_holds_for_the_code(entry: WaitlistEntry, path: str) -> None:
    post(own(path, entry.patient), **SAID)
    reached_somebody_else(entry)
    post(f"{path}code/", do="save", code=code_sent())
    assert in_use(entry.patient) == [MAIL, OLD]


def test_nobody_changes_anothers(scene: Scene, entry: WaitlistEntry, path: str, client: Client) -> None:
    other = scene.waiting(1)[0].patient
    theirs = other.contact_points.get(system="phone")
    mine = contact(entry.patient).pk
    for step in (f"p{theirs.pk}/", "p0/", "p" + "9" * 30 + "/", "px/", "who/", f"x{mine}/", f"{mine}/"):
        assert client.get(f"{path}{step}").headers["Location"] == path
    post(f"{path}p{theirs.pk}/", do="remove")
    for do in ("save", "remove"):
        assert post(path, do=do).headers["Location"] == path
    theirs.refresh_from_db()
    assert theirs.use != "old"
    assert client.get(f"/r/{'a' * 22}/contact/").status_code == 404


def test_looking_changes_nothing_and_a_closed_request_shows_none_of_it(
    entry: WaitlistEntry, path: str, client: Client
) -> None:
    post(own(path, entry.patient), **SAID)
    before = pages.rows()
    for step in ("", own("", entry.patient), "phone/", "email/", "address/", "language/", "code/", "saved/", "call/"):
        assert client.get(f"{path}{step}").status_code == 200
        assert client.head(f"{path}{step}").status_code == 200
    assert pages.rows() == before
    WaitlistEntry.objects.update(status="left")
    assert client.get(path).headers["Location"] == path.removesuffix("contact/")
    post(f"{path}code/", do="save", code=code_sent())
    assert in_use(entry.patient) == [MAIL, OLD]


def test_it_is_reached_from_an_offer_too(scene: Scene, entry: WaitlistEntry, client: Client) -> None:
    opening = scene.opening(hours=10)
    scene.look(opening)
    offer = opening.offers.get()
    path = f"{pages.link_of(offer)}request/contact/"
    assert "ends with 11" in text(client.get(path))
    assert heading(client.get(f"{pages.link_of(offer, 'email')}request/contact/")) == "First a question"


def test_by_a_link_of_the_requests_own_the_only_place_it_names_signs_what_is_sent(
    scene: Scene, entry: WaitlistEntry, path: str, client: Client
) -> None:
    """The patient knows that place; another practice's name at a code looks like a fraud."""
    Location.objects.update(signature="EHC")
    entries.change(entry, locations=[scene.location])
    assert "tel:+12125550101" in client.get(path).content.decode()
    assert AccessRecord.objects.filter(action="view").latest("pk").location_id == scene.location.pk
    post(own(path, entry.patient), **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    sent = Message.objects.filter(kind__in=("contact_code", "contact_changed"))
    assert {(each.location, "EHC" in each.body, "Elm Street" in each.body) for each in sent} == {
        (scene.location, True, False)
    }
    entries.change(entry, locations=[scene.location, factories.location()])
    client.get(path)
    assert AccessRecord.objects.filter(action="view").latest("pk").location_id is None


def test_where_nobody_can_be_told_staff_call(entry: WaitlistEntry, path: str) -> None:
    ConsentRecord.objects.all().delete()
    post(own(path, entry.patient), **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    assert in_use(entry.patient) == [MAIL, NEW]
    assert WorkItem.objects.get().kind == "contact.changed"


def listed() -> list[str]:
    """The numbers that staff are to call."""
    return [each.value for each in worklist.numbers_for(WorkItem.objects.get(kind="contact.changed"))]


def test_staff_call_the_number_from_before_and_never_the_new_one(entry: WaitlistEntry, path: str) -> None:
    ConsentRecord.objects.all().delete()
    # Past for long, so that it may be a stranger's by now.
    factories.contact(entry.patient, "+12125550190", use="old", rank=1)
    post(own(path, entry.patient), **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    assert listed() == [OLD]
    item = WorkItem.objects.get()
    assert "only numbers that were on record before" in item.advice
    clerk = Client()
    clerk.force_login(User.objects.create_superuser("maria"))
    shown = text_of(clerk.get(f"/admin/scheduling/workitem/{item.pk}/change/"))
    assert f"{OLD} (used before)" in shown
    assert NEW not in shown
    Patient.objects.update(restricted=True)
    assert listed() == []


def test_a_number_of_once_that_the_page_took_up_again_is_no_number_to_call(
    scene: Scene, entry: WaitlistEntry, path: str
) -> None:
    ConsentRecord.objects.all().delete()
    factories.contact(entry.patient, NEW, rank=2, use="old", consent=False)
    scene.pass_time(days=5)
    post(own(path, entry.patient), **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    assert in_use(entry.patient) == [MAIL, NEW]
    assert listed() == [OLD]


def test_staff_call_a_number_that_is_left_or_was_taken_away(scene: Scene, entry: WaitlistEntry, path: str) -> None:
    factories.contact(entry.patient, NEW, rank=2)
    scene.pass_time(minutes=5 * 24 * 60)
    # It is on record: that its code came back makes it no newer.
    post(f"{path}phone/", **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    assert ContactChange.objects.get().state == "confirmed"
    ConsentRecord.objects.all().delete()
    assert own_contacts.remove(Change(entry.patient, None, timezone.now()), contact(entry.patient))
    assert listed() == [OLD, NEW]


def test_a_number_that_did_not_come_by_the_page_is_listed_though_it_was_typed_there(entry: WaitlistEntry) -> None:
    new, now = factories.contact(entry.patient, NEW, rank=2), timezone.now()
    for patient, state, at in (
        (factories.patient(), "confirmed", now),
        (entry.patient, "dropped", now),
        (entry.patient, "confirmed", now - timedelta(days=5)),
    ):
        ContactChange.objects.create(
            patient=patient,
            system="phone",
            address=NEW,
            address_index=new.address_index,
            state=state,
            created_at=at,
            expires_at=at + timedelta(hours=1),
        )
    item = WorkItem(patient=entry.patient, created_at=now)
    assert [each.value for each in own_contacts.numbers_before(item)] == [OLD, NEW]
    assert own_contacts.numbers_before(WorkItem(created_at=now)) == []


def test_where_only_an_e_mail_was_known_staff_are_told_that_there_is_no_number_to_trust(
    entry: WaitlistEntry, path: str
) -> None:
    """The new number is in the EHR by then: to say that it has none would send staff to look for it there."""
    ContactPoint.objects.filter(patient=entry.patient, system="phone").delete()
    ConsentRecord.objects.all().delete()
    post(f"{path}phone/", **SAID)
    post(f"{path}code/", do="save", code=code_sent())
    assert in_use(entry.patient) == [MAIL, NEW]
    assert listed() == []
    clerk = Client()
    clerk.force_login(User.objects.create_superuser("maria"))
    shown = text_of(clerk.get(f"/admin/scheduling/workitem/{WorkItem.objects.get().pk}/change/"))
    assert "Phone: none was on record before the change: ask them when they come in, or by letter" in shown
    assert NEW not in shown
    assert "the EHR has no usable number" not in shown


def test_the_words_agreed_to_stand_on_the_page(entry: WaitlistEntry, path: str, client: Client) -> None:
    for step, channel in (("phone/", "sms"), ("email/", "email")):
        for language in ("en", "es"):
            assert consent_forms.words(language, channel) in text(client.get(f"{path}{step}?lang={language}"))
    assert "checked" not in client.get(f"{path}phone/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_removed_at_once_leave_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real, both_have_looked = own_contacts.can_be_removed, threading.Barrier(2)

    def look(*arguments: Any) -> bool:
        """Give the other one time to look, too, before anything is removed."""
        can_be = real(*arguments)
        with suppress(threading.BrokenBarrierError):
            both_have_looked.wait(timeout=0.5)
        return can_be

    monkeypatch.setattr(own_contacts, "can_be_removed", look)
    factories.practice()
    person = factories.patient()
    change = Change(person, None, timezone.now())
    both = own_contacts.points(person)
    done = race.together(2, lambda number: own_contacts.remove(change, both[number]))
    assert (sorted(done), len(in_use(person))) == ([False, True], 1)


@pytest.mark.django_db(transaction=True)
def test_a_code_pressed_twice_counts_once() -> None:
    person = factories.patient()
    change = Change(person, None, timezone.now())
    assert contact_codes.ask(change, Written("phone", NEW, None, "en"))
    code, loaded = code_sent(), [ContactChange.objects.get() for _ in range(3)]
    answers = race.together(3, lambda number: contact_codes.confirm(change, loaded[number], code))
    assert Answer.TAKEN in answers
    assert Answer.FOR_STAFF not in answers
    assert in_use(person).count(NEW) == 1
    assert ConsentRecord.objects.filter(wording_version__startswith="sms en").count() == 1
    assert Message.objects.filter(kind="contact_changed").count() == 2


def test_a_change_of_an_hour_ago_is_no_longer_waiting(scene: Scene, entry: WaitlistEntry, path: str) -> None:
    post(own(path, entry.patient), **SAID)
    assert "Something new waits for its code." in text(Client().get(path))
    scene.pass_time(minutes=61)
    assert "Something new waits for its code." not in text(Client().get(path))


def test_what_cannot_be_kept_is_for_staff_and_never_said_to_be_saved(entry: WaitlistEntry) -> None:
    change = Change(entry.patient, None, timezone.now())
    assert contact_codes.ask(change, Written("phone", NEW, contact(entry.patient), "en"))
    row, code = ContactChange.objects.get(), code_sent()
    ContactPoint.objects.filter(pk=contact(entry.patient).pk).update(guardian=True)
    answers = [contact_codes.confirm(change, row, code) for _ in range(2)]
    row.refresh_from_db()
    assert (answers[0], row.state) == (Answer.FOR_STAFF, ContactChange.State.STAFF)
    assert Answer.TAKEN not in answers
    assert not ConsentRecord.objects.filter(wording_version__startswith="sms en").exists()


def test_text_email_and_page_call_the_code_the_same_in_spanish(entry: WaitlistEntry, path: str, client: Client) -> None:
    entry.patient.language = "es"
    entry.patient.save()
    for step, value in (("phone/", NEW), ("email/", "new@example.org")):
        post(f"{path}{step}", do="save", value=value)
    page = text(client.get(f"{path}code/?lang=es")).split("Página")[0]
    said = [each.body for each in Message.objects.filter(kind="contact_code")]
    assert len(said) == 2
    assert all("clave" in each and "código" not in each for each in (*said, page))


def test_the_latest_of_today_is_the_patients_own_and_the_newest(entry: WaitlistEntry) -> None:
    now = timezone.now()
    other = factories.patient()

    def asked(patient: Patient, hours: float) -> ContactChange:
        return ContactChange.objects.create(
            patient=patient,
            system="phone",
            address=NEW,
            address_index=f"{hours}",
            code_hash="-",
            state="dropped",
            created_at=now - timedelta(hours=hours),
            expires_at=now,
        )

    change = Change(entry.patient, None, now)
    assert contact_codes.last_asked(change) is None
    asked(entry.patient, 24)
    asked(other, 1)
    assert contact_codes.last_asked(change) is None
    newest = asked(entry.patient, 2)
    asked(entry.patient, 5)
    assert contact_codes.last_asked(change) == newest


@pytest.fixture
def change(scene: Scene, entry: WaitlistEntry) -> Change:
    return Change(entry.patient, scene.location, timezone.now())


@pytest.fixture
def row(change: Change) -> ContactChange:
    """A new number that waits for its code."""
    assert contact_codes.ask(change, Written("phone", NEW, None, ""))
    return ContactChange.objects.get()


def test_a_code_is_of_the_place_whose_link_was_opened_and_as_long_as_it_counts(
    change: Change, row: ContactChange
) -> None:
    code = Message.objects.get(kind="contact_code")
    assert row.location == code.location == change.location
    assert (code.due_at, code.expires_at) == (change.now, change.now + timedelta(hours=1))
    assert row.expires_at == code.expires_at


def test_a_try_is_on_record_and_counts_only_while_the_code_does(change: Change, row: ContactChange) -> None:
    assert contact_codes.confirm(change, row, another(code_sent())) == Answer.WRONG
    entries_of_it = LogEntry.objects.get_for_object(row).filter(changes__has_key="tries")
    assert entries_of_it.latest("pk").changes["tries"] == ["0", "1"]
    for fields in ({"expires_at": change.now}, {"expires_at": row.expires_at, "state": "dropped"}):
        ContactChange.objects.update(**fields)
        assert contact_codes.confirm(change, row, code_sent()) == Answer.WRONG
    row.refresh_from_db()
    assert (row.tries, row.state) == (1, "dropped")
    assert NEW not in in_use(change.patient)


@pytest.mark.parametrize(
    ("state", "answer"), [("confirmed", Answer.TAKEN), ("staff", Answer.WRONG), ("dropped", Answer.WRONG)]
)
def test_a_code_that_was_quicker_elsewhere_says_what_that_came_to(
    change: Change, row: ContactChange, state: str, answer: Answer
) -> None:
    refresh = row.refresh_from_db

    def refreshed(*args: Any, **kwargs: Any) -> None:
        ContactChange.objects.update(state=state)
        refresh(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row, "refresh_from_db", refreshed)
        assert contact_codes.confirm(change, row, code_sent()) == answer
    assert NEW not in in_use(change.patient)
    assert not WorkItem.objects.exists()


def test_a_record_restricted_since_is_for_staff_who_read_what_to_do(change: Change, row: ContactChange) -> None:
    Patient.objects.update(restricted=True)
    change.patient.refresh_from_db()
    assert contact_codes.confirm(change, row, code_sent()) == Answer.FOR_STAFF
    row.refresh_from_db()
    assert row.state == "staff"
    item = WorkItem.objects.get(kind="contact.check")
    assert (item.patient, item.location) == (change.patient, change.location)
    assert (item.subject_kind, item.subject_id) == ("scheduling.patient", change.patient.pk)
    assert item.dedupe_key == f"contact.check:{change.patient.pk}"
    assert item.advice.startswith("Nothing was changed.")
