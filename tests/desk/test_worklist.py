"""Needs you: take an item, press its button, or finish it with a note."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from integrations.models import CodeMapping, FieldHealth
from scheduling import worklist
from scheduling.models import Opening, WorkItem
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of

LIST = "/admin/scheduling/workitem/"


@pytest.fixture
def item(practice: Practice) -> WorkItem:
    opening = practice.opening(held="reason")
    return worklist.ask_staff(
        "opening.reason",
        "A reason is not mapped",
        advice="Nobody was offered it.",
        dedupe_key="k",
        opening=opening,
        subject=opening,
    )


def page(item: WorkItem, step: str = "change") -> str:
    return f"{LIST}{item.pk}/{step}/"


def test_the_page_says_what_each_button_does_before_it_is_pressed(dana: Client, item: WorkItem) -> None:
    words = text_of(dana.get(page(item)))
    assert "Offer this time The waitlist is offered this time." in words
    assert "Do not offer The opening closes; nobody is told." in words
    assert "Or say what you did, without the patient’s name: Finish Take it: mine now" in words
    assert "Opening: Dr. Mei Chen, tomorrow" in words
    assert "About:" not in words  # the opening stands there already


def test_a_button_does_it_and_closes_the_item_with_what_came_of_it(dana: Client, item: WorkItem) -> None:
    assert said(dana, dana.post(page(item, "do/close"))) == "The time is not offered."
    item.refresh_from_db()
    assert (item.status, item.done_by, item.resolution) == ("done", "dana", "The time is not offered.")
    assert Opening.objects.get().closed_reason == "staff"
    assert said(dana, dana.post(page(item, "do/offer"))) == "Nothing changed: somebody else finished it."
    assert Opening.objects.get().status == Opening.Status.CLOSED


def test_an_unknown_button_changes_nothing(dana: Client, item: WorkItem) -> None:
    assert said(dana, dana.post(page(item, "do/vanish"))) == ("Nothing changed: this item has no such button any more.")
    item.refresh_from_db()
    assert item.status == WorkItem.Status.OPEN


def test_a_fault_in_what_a_button_does_is_not_taken_for_a_missing_button(dana: Client, item: WorkItem) -> None:
    def fail(item: WorkItem, user: object) -> str:
        return {}["nothing"]

    worklist.register_action("test.fault", worklist.Action("fail", "Fail", "Nothing.", fail))
    WorkItem.objects.update(kind="test.fault")
    with pytest.raises(KeyError):
        dana.post(page(item, "do/fail"))
    item.refresh_from_db()
    assert item.status == WorkItem.Status.OPEN


@pytest.mark.parametrize(("answer", "tone", "status"), [(str, "success", "done"), (worklist.NotYet, "warning", "open")])
def test_a_button_that_says_not_yet_leaves_the_item_open(
    dana: Client, item: WorkItem, answer: type[str], tone: str, status: str
) -> None:
    worklist.register_action("test.tone", worklist.Action(tone, "Try", "Nothing.", lambda *_: answer("So it is.")))
    WorkItem.objects.update(kind="test.tone")
    page_after = dana.post(page(item, f"do/{tone}"), follow=True).content.decode()
    assert re.search(rf'<li class="{tone}">\s*So it is.', page_after)
    item.refresh_from_db()
    assert (item.status, item.resolution) == (status, "So it is." if status == "done" else "")


def test_taking_and_putting_back(dana: Client, maria: Client, item: WorkItem) -> None:
    assert said(dana, dana.post(page(item, "take"))) == "This is yours now."
    assert text_of(dana.get(LIST + "?whose=mine")).count("A reason is not mapped") == 1
    assert maria.get(LIST + "?whose=mine").context["cl"].result_count == 0
    assert "Take it over from dana" in text_of(maria.get(page(item)))
    maria.post(page(item, "take"))
    item.refresh_from_db()
    assert item.owner is not None
    assert item.owner.get_username() == "maria"
    dana.post(page(item, "let-go"))  # not dana's any more
    item.refresh_from_db()
    assert item.owner is not None
    assert said(maria, maria.post(page(item, "let-go"))) == "It is nobody's again."
    item.refresh_from_db()
    assert item.owner is None
    assert maria.get(LIST + "?whose=nobody").context["cl"].result_count == 1


def test_finishing_needs_a_word_on_what_was_done(dana: Client, item: WorkItem) -> None:
    assert said(dana, dana.post(page(item, "finish"), {"note": "  "})).startswith(
        "Nothing changed: write in a few words"
    )
    item.refresh_from_db()
    assert item.status == WorkItem.Status.OPEN
    response = dana.post(page(item, "finish"), {"note": "Called the provider."})
    assert response.url == LIST + "?status__exact=open"  # type: ignore[attr-defined]
    item.refresh_from_db()
    assert (item.status, item.resolution, item.done_by) == ("done", "Called the provider.", "dana")
    assert said(dana, dana.post(page(item, "finish"), {"note": "Again."})).startswith("Nothing changed")


def test_several_can_be_taken_at_once(dana: Client, item: WorkItem, practice: Practice) -> None:
    other = worklist.ask_staff("x", "Another", dedupe_key="o", location=practice.riverside)
    done = worklist.ask_staff("x", "Over", dedupe_key="d", location=practice.riverside)
    worklist.finish(done, "dana", "done")
    chosen = {"action": "take_selected", "_selected_action": [item.pk, other.pk, done.pk]}
    assert said(dana, dana.post(LIST, chosen)) == "2 of 3 are yours now."
    assert WorkItem.objects.filter(owner__username="dana").count() == 2


@pytest.mark.parametrize("step", ["take", "let-go", "finish", "do/close"])
def test_looking_does_nothing(dana: Client, item: WorkItem, step: str) -> None:
    assert dana.get(page(item, step)).status_code == 405
    item.refresh_from_db()
    assert (item.status, item.owner) == ("open", None)


def test_taking_is_in_the_audit_trail(dana: Client, item: WorkItem) -> None:
    from auditlog.models import LogEntry

    dana.post(page(item, "take"))
    entry = LogEntry.objects.get_for_object(item).filter(changes__has_key="owner").latest("pk")
    assert entry.actor is not None
    assert entry.actor.get_username() == "dana"


def test_the_page_has_the_number_to_call_and_no_row_without_a_value(dana: Client, practice: Practice) -> None:
    person = factories.patient(phone="+12015550147", locations=[practice.riverside])
    call = worklist.ask_staff(
        "reply.urgent", "Call now", advice="Read it.", dedupe_key="c", patient=person, location=practice.riverside
    )
    page_of_call = dana.get(page(call))
    words = text_of(page_of_call)
    assert '<a href="tel:+12015550147">+12015550147</a>' in page_of_call.content.decode()
    assert "Call now Read it. What you can do" in words
    for label in ("By when:", "Opening:", "About:", "Finished:", "Done by:", "Resolution:"):
        assert label not in words


def test_a_restricted_patients_number_is_not_shown(dana: Client, practice: Practice) -> None:
    person = factories.patient(phone="+12015550147", restricted=True, locations=[practice.riverside])
    call = worklist.ask_staff("x", "Look", dedupe_key="c", patient=person, location=practice.riverside)
    words = text_of(dana.get(page(call)))
    assert "Phone: restricted: no calls" in words
    assert "5550147" not in words


def test_what_was_finished_says_by_whom_and_how(dana: Client, item: WorkItem) -> None:
    worklist.finish(item, "maria", "Called the provider.")
    words = text_of(dana.get(page(item)))
    assert "Done by: maria Resolution: Called the provider. Back to the list" in words


@pytest.mark.parametrize(
    ("kind", "label", "address"),
    [
        ("patient.reviews", "Compare the records", "/admin/scheduling/patientreview/?state__exact=open"),
        ("calendar.differs", "Decide on Differences", "/admin/differences/"),
        ("mapping.reason", "Say what the code means", "/admin/connections/{connection}/codes/?domain=reason"),
        ("mapping.field", "See where the field stopped", "/admin/connections/{connection}/fields/phones/"),
        ("health.deaf", "Open Connect", "/admin/connections/{connection}/"),
        ("health.silent", "Look at Sync status", "/admin/status/"),
    ],
)
def test_an_item_that_is_dealt_with_on_another_page_leads_there(
    maria: Client, practice: Practice, kind: str, label: str, address: str
) -> None:
    subjects = {
        "mapping.reason": CodeMapping(connection=practice.connection, domain="reason", code="x-9"),
        "mapping.field": FieldHealth(connection=practice.connection, field="phones"),
    }
    subject = subjects.get(kind)
    if subject:
        subject.save()
    item = worklist.ask_staff(kind, "Look", dedupe_key=f"{kind}:{practice.connection.pk}", subject=subject)
    response = maria.get(page(item))
    target = address.format(connection=practice.connection.pk).replace("&", "&amp;")
    assert f'href="{target}">{label}</a>' in response.content.decode()
    assert maria.get(target).status_code == 200


def test_no_item_leads_to_a_page_that_the_person_may_not_see(dana: Client, practice: Practice) -> None:
    row = CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9")
    item = worklist.ask_staff("mapping.reason", "Look", dedupe_key="m", subject=row)
    words = text_of(dana.get(page(item)))
    assert "Say what the code means" not in words
    assert "leave this to those who run the connection to the EHR." in words


def test_what_an_item_is_about_is_named_to_those_who_may_open_it(dana: Client, ira: Client, practice: Practice) -> None:
    row = CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9")
    item = worklist.ask_staff("mapping.reason", "Look", dedupe_key="m", subject=row)
    address = f"/admin/integrations/codemapping/{row.pk}/change/"
    assert address in ira.get(page(item)).content.decode()
    assert address not in dana.get(page(item)).content.decode()
    assert "About:" not in text_of(dana.get(page(item)))


def test_what_is_asked_about_a_time_is_its_places_and_stands_there_once_until_it_is_done(practice: Practice) -> None:
    opening = practice.opening()
    item = worklist.ask_staff("x", "Look", dedupe_key="k", opening=opening)
    assert (item.location, item.times_seen) == (practice.riverside, 1)
    assert worklist.ask_staff("x", "Look", dedupe_key="k", location=practice.lakeview, opening=opening).times_seen == 2
    other = worklist.ask_staff("x", "Look", dedupe_key="o", location=practice.lakeview, opening=opening)
    assert (other.location, WorkItem.objects.count()) == (practice.lakeview, 2)
    worklist.finish_for("k", "It is over.")
    item.refresh_from_db()
    other.refresh_from_db()
    assert (item.status, item.resolution, other.status) == ("done", "It is over.", "open")
    again = worklist.ask_staff("x", "Look", dedupe_key="k", opening=opening)
    assert (again.pk != item.pk, again.status, again.times_seen) == (True, "open", 1)
