"""What stands around every page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from scheduling.models import Practice as PracticeRow
from tests.desk.conftest import Practice
from tests.desk.pages import plain, text_of
from waitlist.models import Offer

PAGES = (
    "/admin/",
    "/admin/lists/",
    "/admin/status/",
    "/admin/scheduling/opening/",
    "/admin/scheduling/practice/1/change/",
    "/admin/waitlist/waitlistentry/add/",
    "/admin/password_change/",
)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("installation", ["test", "live"])
def test_every_page_names_the_practice_and_the_kind_of_installation(
    maria: Client, settings: Any, page: str, installation: str
) -> None:
    settings.INSTALLATION = installation
    words = text_of(maria.get(page))
    assert words.startswith(f"Skip to main content Harbor Family Practice {installation} Pause everything maria")


def test_the_login_page_says_it_before_anybody_is_signed_in(practice: Practice, settings: Any) -> None:
    settings.INSTALLATION = "live"
    words = text_of(Client().get("/admin/login/"))
    assert words == (
        "Skip to main content Harbor Family Practice live Toggle theme (current theme: auto) "
        "Toggle theme (current theme: light) Toggle theme (current theme: dark) Log in Username: Password:"
    )


def test_pausing_says_what_is_under_way_and_can_be_undone(dana: Client, practice: Practice) -> None:
    from tests import factories

    opening = practice.opening(status="offering", waves_sent=1)
    factories.offer(opening, practice.entry())
    page = dana.post("/admin/pause/", {"next": "/admin/status/"}, follow=True)
    assert page.redirect_chain == [("/admin/status/", 302)]
    assert (
        "Everything is paused. Still under way: 1 patient holds an offer and may still say yes. "
        "Press “Go on” above to undo this." in text_of(page)
    )
    assert "Everything is paused since just now" in text_of(page)
    row = PracticeRow.objects.get()
    assert (row.paused_at is not None, row.paused_by) == (True, "dana")
    page = dana.post("/admin/resume/", follow=True)
    assert "Everything goes on. Openings are checked with the EHR before anybody is offered one." in text_of(page)
    assert PracticeRow.objects.get().paused_at is None
    assert Offer.objects.get().status == Offer.Status.SENT


def test_pausing_twice_keeps_the_first(dana: Client, maria: Client) -> None:
    dana.post("/admin/pause/", {"reason": "fire alarm"})
    page = maria.post("/admin/pause/", follow=True)
    assert "Everything was paused already." in text_of(page)
    row = PracticeRow.objects.get()
    assert (row.paused_by, row.pause_reason) == ("dana", "fire alarm")


def test_looking_never_pauses(dana: Client) -> None:
    assert dana.get("/admin/pause/").status_code == 405
    assert PracticeRow.objects.get().paused_at is None


def test_somebody_who_may_not_work_openings_may_not_pause(ira: Client) -> None:
    assert "Pause everything" not in text_of(ira.get("/admin/"))
    assert ira.post("/admin/pause/").status_code == 403
    assert PracticeRow.objects.get().paused_at is None


def test_the_way_back_never_leads_elsewhere(dana: Client) -> None:
    response = dana.post("/admin/pause/", {"next": "https://elsewhere.example.org/"})
    assert response.url == "/admin/"  # type: ignore[attr-defined]


def test_a_stranger_is_asked_to_sign_in(practice: Practice) -> None:
    for page in (*PAGES, "/admin/today/live/", "/admin/openings/1/", "/admin/openings/1/do/close/"):
        response = Client().get(page)
        assert (response.status_code, response.url) == (302, f"/admin/login/?next={page}")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("/admin/status/", "Today › Sync status"),
        ("/admin/lists/", "Today › All lists"),
        ("/admin/scheduling/workitem/", "Today › Needs you"),
        ("/admin/scheduling/writeback/", "Today › Changes to the EHR"),
        ("/admin/password_change/", "Today › Password change"),
        ("/admin/audit/accessrecord/", "Today › Access records"),
    ],
)
def test_the_way_back_leads_to_today(maria: Client, path: str, way: str) -> None:
    page = maria.get(path).content.decode()
    crumbs = page.split('<div class="breadcrumbs">')[1].split("</div>")[0]
    assert plain(crumbs) == way
