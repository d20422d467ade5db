"""Signing in, the two groups, and where a person works."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from config.desk.groups import FRONT_DESK, INTEGRATION_ADMIN, RIGHTS, keep_groups
from scheduling.models import LocationAccess
from tests.desk.conftest import Practice
from tests.desk.pages import plain, records, text_of


@pytest.mark.django_db
@pytest.mark.parametrize("name", [FRONT_DESK, INTEGRATION_ADMIN])
def test_each_group_has_every_right_it_lists_however_often_it_is_kept(name: str) -> None:
    listed = {(app, codename) for app, codenames in RIGHTS[name].items() for codename in codenames}
    for _ in range(2):
        keep_groups()
        group = Group.objects.get(name=name)
        given = set(group.permissions.values_list("content_type__app_label", "codename"))
        assert given == listed


@pytest.mark.django_db
def test_rights_that_somebody_added_stay_and_those_that_are_missing_come_back() -> None:
    keep_groups()
    group = Group.objects.get(name=FRONT_DESK)
    extra, lost = Permission.objects.get(codename="add_bookable"), Permission.objects.get(codename="view_opening")
    group.permissions.add(extra)
    group.permissions.remove(lost)
    keep_groups()
    assert {extra, lost} <= set(group.permissions.all())
    assert Group.objects.count() == len(RIGHTS)


@pytest.mark.django_db
def test_neither_group_deletes_anything_or_sees_all_locations() -> None:
    keep_groups()
    codenames = set(Permission.objects.filter(group__name__in=RIGHTS).values_list("codename", flat=True))
    assert not any(codename.startswith("delete_") for codename in codenames)
    assert "see_all_locations" not in codenames


def test_signing_in_leads_to_today_and_is_on_record(practice: Practice) -> None:
    person = User.objects.create_user("kim", password="of no use here", is_staff=True)
    client = Client()
    answer = client.post("/admin/login/", {"username": "kim", "password": "wrong"})
    assert "Please enter the correct username and password for a staff account." in text_of(answer)
    answer = client.post("/admin/login/", {"username": "kim", "password": "of no use here", "next": "/admin/"})
    assert (answer.status_code, answer.url) == (302, reverse("admin:index"))  # type: ignore[attr-defined]
    assert records("login", result="done") == [("auth.user", str(person.pk))]


def test_a_person_without_any_right_gets_a_page_without_dead_ends(practice: Practice) -> None:
    person = User.objects.create_user("new", password="of no use here", is_staff=True)
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    words = text_of(client.get("/admin/"))
    assert "No open time right now." in words
    assert client.get("/admin/lists/").status_code == 200


def test_a_manager_says_where_a_person_works(maria: Client, people: dict[str, User], practice: Practice) -> None:
    path = f"/admin/auth/user/{people['ira'].pk}/change/"
    page = maria.get(path)
    assert "locations this person works at" in text_of(page).lower()
    form = {
        name: "" if value is None else value
        for name, value in page.context["adminform"].form.initial.items()
        if name not in ("last_login", "date_joined", "groups", "user_permissions", "password", "is_superuser")
    }
    form |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "is_active": "on", "is_staff": "on"}
    form |= {"location_access-TOTAL_FORMS": 1, "location_access-INITIAL_FORMS": 0}
    form |= {"location_access-0-location": practice.lakeview.pk, "location_access-0-user": people["ira"].pk}
    assert maria.post(path, form).status_code == 302
    assert LocationAccess.objects.get(user=people["ira"]).location == practice.lakeview


def test_nobody_deletes_a_person(maria: Client, people: dict[str, User]) -> None:
    assert maria.post(f"/admin/auth/user/{people['ira'].pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(username="ira").exists()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/admin/nowhere/", 404, "This page is not here The address may be mistyped, what stood here has ended"),
        ("/admin/scheduling/patient/99999/change/", 404, "This page is not here"),
        ("/admin/auth/user/add/", 403, "You may not do this Your account does not have the right for it."),
    ],
)
def test_errors_say_what_happened_what_is_safe_and_what_to_do(dana: Client, path: str, status: int, words: str) -> None:
    answer = dana.get(path)
    assert answer.status_code == status
    page = plain(answer.content.decode())
    assert words in page
    assert "Nothing was changed." in page
    assert page.startswith("Skip to main content Harbor Family Practice test")
