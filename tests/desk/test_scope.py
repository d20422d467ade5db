"""Staff see the rows of the locations they work at, on every page there is; the rest is not found, on record."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from scheduling.admin.base import ScopedAdmin, ScopedRelatedFilter
from scheduling.models import LocationAccess, Opening, Patient, ScopedModel, WorkItem, Writeback
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from tests.desk.rows import rows_at
from waitlist.models import Message, OutreachPolicy, WaitlistEntry

OURS = ("scheduling", "waitlist", "integrations")
REGISTRY = {model: each for model, each in admin.site._registry.items() if model._meta.app_label in OURS}
SCOPED = sorted((model for model in REGISTRY if issubclass(model, ScopedModel)), key=lambda model: model.__name__)
#: Not shown by themselves, but as parts of the page of what they belong to, or of the shadow report.
PARTS = {"CancellationNote", "ContactPoint", "Coverage", "PastCancellation", "PatientIdentifier", "ShadowOffer"}


def address(row: Model, page: str) -> str:
    args = [] if page in ("changelist", "add") else [row.pk]
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=args)


@pytest.fixture
def rosa(practice: Practice) -> Client:
    """Somebody who may do everything, but only at Riverside."""
    person = User.objects.create_user("rosa", password="of no use here", is_staff=True)
    person.user_permissions.set(Permission.objects.exclude(codename="see_all_locations"))
    LocationAccess.objects.create(user=person, location=practice.riverside)
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_every_screen_of_ours_is_a_scoped_one() -> None:
    assert [model.__name__ for model, each in REGISTRY.items() if not isinstance(each, ScopedAdmin)] == []


def test_a_screen_of_rows_without_a_location_says_why_all_may_see_them() -> None:
    silent = [model.__name__ for model, each in REGISTRY.items() if model not in SCOPED and not each.everyones]  # type: ignore[attr-defined]
    assert silent == []


def test_every_model_with_a_location_has_its_screen() -> None:
    models = {each.__name__ for each in ScopedModel.__subclasses__() if each._meta.app_label in OURS}
    assert models - {model.__name__ for model in SCOPED} == PARTS


def test_who_belongs_to_two_locations_is_one_row_for_staff_of_either(
    dana: Client, practice: Practice, people: dict[str, User]
) -> None:
    practice.patient.locations.add(practice.lakeview)
    entry = practice.entry()
    for model in (Patient, WaitlistEntry):
        assert model.objects.for_user(people["dana"]).count() == 1
    for row in (practice.patient, entry):
        assert dana.get(address(row, "change")).status_code == 200


def test_no_filter_names_the_rows_of_other_locations() -> None:
    """A plain filter by a related row lists all of them, whoever looks."""
    wrong = []
    for model, screen in REGISTRY.items():
        for each in screen.list_filter:
            name, kind = each if isinstance(each, tuple) else (each, None)
            if not isinstance(name, str):
                continue
            field: Any = None
            owner: Any = model
            for part in name.split("__"):
                field = owner._meta.get_field(part)
                owner = field.related_model
            scoped = owner is not None and issubclass(owner, ScopedModel)
            if scoped and kind is not ScopedRelatedFilter:
                wrong.append(f"{model.__name__}.{name}")
    assert wrong == []


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
def test_what_belongs_to_another_location_is_not_there(rosa: Client, practice: Practice, model: type[Model]) -> None:
    mine = rows_at(practice, practice.riverside, practice.patient)[model]
    theirs = rows_at(practice, practice.lakeview, practice.their_patient)[model]
    listed = rosa.get(address(mine, "changelist"))
    shown = [row.pk for row in listed.context["cl"].result_list]
    assert mine.pk in shown
    assert theirs.pk not in shown
    words = text_of(listed)
    assert "Lakeview" not in words
    assert "Elsewhere" not in words
    for page in ("change", "history", "delete"):
        for verb in (rosa.get, rosa.post):
            assert verb(address(theirs, page)).status_code == 404, page
    label = model._meta.label_lower
    assert records("denied") == [(label, str(theirs.pk))] * 6
    assert rosa.get(address(mine, "change"), follow=True).status_code == 200
    assert records("denied") == [(label, str(theirs.pk))] * 6
    assert model._base_manager.filter(pk=theirs.pk).exists()


def test_an_id_that_nobody_has_is_not_found_either_and_not_on_record(rosa: Client, practice: Practice) -> None:
    for text in ("999999", "x", "1'); DROP", "-1"):
        assert rosa.get(f"/admin/scheduling/patient/{text}/change/").status_code == 404
    assert records("denied") == []


@pytest.mark.parametrize(
    ("model", "action"),
    [
        (WaitlistEntry, "pause_selected"),
        (Writeback, "send_again"),
        (Message, "send_selected_again"),
        (WorkItem, "take_selected"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_an_action_on_another_locations_row_does_nothing_to_any(
    rosa: Client, practice: Practice, model: type[Model], action: str
) -> None:
    mine = rows_at(practice, practice.riverside, practice.patient)[model]
    theirs = rows_at(practice, practice.lakeview, practice.their_patient)[model]
    before = {row.pk: (row.status, getattr(row, "owner_id", None)) for row in model._base_manager.all()}
    chosen = {"action": action, "_selected_action": [mine.pk, theirs.pk]}
    assert rosa.post(address(mine, "changelist"), chosen).status_code == 404
    assert records("denied") == [(model._meta.label_lower, str(theirs.pk))]
    assert {row.pk: (row.status, getattr(row, "owner_id", None)) for row in model._base_manager.all()} == before


@pytest.mark.parametrize("page", ["", "live/", "choose/", "do/close/", "do/mine/", "do/confirm/"])
def test_the_slot_story_of_another_location_is_not_there(rosa: Client, practice: Practice, page: str) -> None:
    theirs = practice.opening(practice.lakeview)
    for verb in (rosa.get, rosa.post):
        status = verb(f"/admin/openings/{theirs.pk}/{page}").status_code
        assert status in (404, 405)
    assert ("scheduling.opening", str(theirs.pk)) in records("denied")
    theirs.refresh_from_db()
    assert (theirs.status, theirs.mine_by) == (Opening.Status.OPEN, "")


def test_another_locations_patient_or_entry_cannot_be_slipped_in(rosa: Client, practice: Practice) -> None:
    opening = practice.opening()
    entry = practice.entry(practice.their_patient)
    for form in ({"patient": practice.their_patient.pk}, {"entry": entry.pk}):
        assert rosa.get(f"/admin/openings/{opening.pk}/do/confirm/", form).status_code == 404
        assert rosa.post(f"/admin/openings/{opening.pk}/do/confirm/", form).status_code == 404
    assert rosa.get(f"/admin/openings/{opening.pk}/why-not/{entry.pk}/").status_code == 404
    assert rosa.get(f"/admin/waitlist/waitlistentry/add/?patient={practice.their_patient.pk}").status_code == 404
    assert rosa.get(f"/admin/waitlist/consentrecord/add/?patient={practice.their_patient.pk}").status_code == 404
    patient, waiting = Patient._meta.label_lower, WaitlistEntry._meta.label_lower
    their = (patient, str(practice.their_patient.pk))
    assert records("denied") == [their, their, *[(waiting, str(entry.pk))] * 3, their, their]
    opening.refresh_from_db()
    assert opening.status == Opening.Status.OPEN


def test_a_form_does_not_take_another_locations_id(rosa: Client, practice: Practice) -> None:
    path = f"/admin/waitlist/waitlistentry/add/?patient={practice.patient.pk}"
    form = {"appointment_type": practice.followup.pk, "urgency": 2, "minimum_notice_minutes": 0}
    assert rosa.post(path, {**form, "locations": [practice.lakeview.pk]}).status_code == 404
    policy = {"location": practice.lakeview.pk, "start_delay_seconds": 30}
    assert rosa.post("/admin/waitlist/outreachpolicy/add/", policy).status_code == 404
    assert records("denied") == [("scheduling.location", str(practice.lakeview.pk))] * 2
    assert not WaitlistEntry.objects.exists()
    assert not OutreachPolicy.objects.exists()


def test_a_filter_does_not_ask_for_another_locations_id(rosa: Client, practice: Practice) -> None:
    asked = f"/admin/waitlist/waitlistentry/?patient__id__exact={practice.their_patient.pk}"
    assert rosa.get(asked).status_code == 404
    assert records("denied") == [("scheduling.patient", str(practice.their_patient.pk))]


def test_search_finds_nobody_of_another_location(rosa: Client, practice: Practice) -> None:
    practice.entry(practice.their_patient)
    for path in ("/admin/waitlist/waitlistentry/", "/admin/scheduling/patient/", "/admin/scheduling/appointment/"):
        answer = rosa.post(f"{path}search/", {"query": "Elsewhere"})
        page = rosa.get(answer.url)  # type: ignore[attr-defined]
        assert page.context["cl"].result_count == 0
        assert "Nothing here matches." in text_of(page)


def test_choices_offered_are_those_of_the_persons_locations(rosa: Client, practice: Practice) -> None:
    for path in ("/admin/waitlist/outreachpolicy/add/", "/admin/scheduling/bookable/add/"):
        page = text_of(rosa.get(path))
        assert "Riverside" in page
        assert "Lakeview" not in page


def test_autocomplete_offers_those_of_the_persons_locations(rosa: Client, practice: Practice) -> None:
    asked = {"app_label": "scheduling", "model_name": "bookable", "field_name": "location", "term": ""}
    found = rosa.get("/admin/autocomplete/", asked).json()["results"]
    assert [each["text"] for each in found] == ["Riverside"]


def test_a_policy_of_another_location_is_not_there(rosa: Client, practice: Practice) -> None:
    everybody, theirs = OutreachPolicy.objects.create(), OutreachPolicy.objects.create(location=practice.lakeview)
    shown = rosa.get("/admin/waitlist/outreachpolicy/").context["cl"].result_list
    assert list(shown) == [everybody]
    assert rosa.get(address(theirs, "change")).status_code == 404
    assert records("denied") == [("waitlist.outreachpolicy", str(theirs.pk))]


def test_a_missing_right_is_on_record(dana: Client, practice: Practice) -> None:
    assert dana.get("/admin/waitlist/outreachpolicy/add/").status_code == 403
    assert dana.post(f"/admin/scheduling/location/{practice.riverside.pk}/delete/").status_code == 403
    assert records("denied") == [("scheduling.location", str(practice.riverside.pk))]
