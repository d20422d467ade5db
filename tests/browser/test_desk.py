"""Staff pages in Chromium: they fit, they can be read, they obey the security policy, and they keep themselves new."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_httpserver import HTTPServer

from integrations.models import Connection
from scheduling import worklist
from scheduling.models import Opening, Patient
from scheduling.models import Practice as House
from tests import factories
from tests.browser import measures
from tests.browser.axe import violations
from tests.browser.conftest import SCHEMES, WIDTHS, keep_picture
from tests.desk.conftest import Practice, people, practice
from tests.desk.test_every_page import fill
from tests.desk.test_sandbox_page import DAY, message
from tests.desk.test_thread import write
from waitlist import wrong_person

__all__ = ["people", "practice"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = {
    "today": "/admin/",
    "opening": "/admin/openings/1/",
    "needs-you": "/admin/scheduling/workitem/?status__exact=open",
    "item": "/admin/scheduling/workitem/1/change/",
    "waitlist": "/admin/waitlist/waitlistentry/",
    "entry": "/admin/waitlist/waitlistentry/1/change/",
    "find-patient": "/admin/waitlist/waitlistentry/add/",
    "status": "/admin/status/",
    "dead-letter": "/admin/scheduling/writeback/1/change/",
    "messages": "/admin/waitlist/message/",
    "reply": "/admin/waitlist/reply/1/change/",
    "answer": "/admin/waitlist/reply/1/answer/",
    "inbox": "/admin/waitlist/reply/?waits=yes",
    "guardian": "/admin/patients/1/guardian/",
    "wrong-person": "/admin/waitlist/wrongpersonreport/1/change/",
    "patient": "/admin/scheduling/patient/1/change/",
    "thread": "/admin/patients/1/thread/",
    "events": "/admin/integrations/inboundevent/",
    "lists": "/admin/lists/",
    "words": "/admin/words/",
    "launch": "/admin/launch/",
    "launch-list": "/admin/launch/list/text/",
    "words-edit": "/admin/words/es/offer/sms/",
    "openings": "/admin/scheduling/opening/",
    "block": "/admin/scheduling/block/add/",
    "changes": "/admin/scheduling/writeback/",
    "offers": "/admin/waitlist/offer/",
    "access": "/admin/audit/accessrecord/",
    "connect": "/admin/connections/1/",
    "mapper": "/admin/connections/1/codes/?domain=reason",
    "fields": "/admin/connections/1/fields/",
    "differences": "/admin/differences/",
    "shadow": "/admin/shadow/1/",
    "shadow-past": "/admin/shadow/1/?of=past",
    "reviews": "/admin/scheduling/patientreview/",
    "login": "/admin/login/",
}
#: What staff pages keep to: WCAG AA contrast, small print still of 12 pixels.
LIMITS = {"contrast": 4.5, "text": 12.0, "target": 0.0}
LONG = "Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh-Cholmondeley"

SignedIn = Callable[[str], Page]


@pytest.fixture
def staff_page(chromium: Browser, live_server: Any, people: dict[str, User]) -> Iterator[SignedIn]:
    """Open a path as Maria, and fail at the end when the browser complained about anything."""
    contexts, complaints = [], []

    def open_path(path: str) -> Page:
        context = chromium.new_context(viewport={"width": 1280, "height": WIDTHS[1280]}, reduced_motion="reduce")
        contexts.append(context)
        client = Client()
        client.force_login(people["maria"], backend="django.contrib.auth.backends.ModelBackend")
        name = django_settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{live_server.url}{path}")
        return page

    yield open_path
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_and_can_be_read(staff_page: SignedIn, practice: Practice, name: str) -> None:
    practice.patient.family_name = LONG
    practice.patient.save()
    practice.chen.name = f"Dr. Chukwuemeka {LONG}"
    practice.chen.save()
    fill(practice)
    path = PAGES[name]
    page = staff_page(path.replace("/1/", f"/{pk_for(path)}/") if "/1/" in path else path)
    found = {}
    for scheme in SCHEMES:
        for width, height in WIDTHS.items():
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": height})
            keep_picture(page, f"desk-{name}-{width}-{scheme}")
            found[width, scheme] = measures.problems(page, **LIMITS)
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "path",
    [
        *(PAGES[name] for name in ("today", "words", "words-edit", "launch", "launch-list", "waitlist", "inbox")),
        *("/admin/waitlist/importbatch/add/", "/admin/waitlist/outreachpolicy/add/", "/admin/openings/1/"),
        *("/admin/waitlist/waitlistentry/1/change/", "/admin/scheduling/workitem/1/change/", PAGES["thread"]),
    ],
)
def test_no_rule_of_accessibility_is_broken(staff_page: SignedIn, practice: Practice, path: str) -> None:
    fill(practice)
    page = staff_page(path.replace("/1/", f"/{pk_for(path)}/") if "/1/" in path else path)
    assert violations(page) == []


def pk_for(path: str) -> int:
    """Return the key of the first row of the model that an address names; rows' keys differ from run to run."""
    from django.apps import apps

    parts = path.strip("/").split("/")
    pages = {"openings": Opening, "patients": Patient, "connections": Connection, "shadow": Connection}
    model = pages.get(parts[1]) or apps.get_model(parts[1], parts[2])
    return int(model._base_manager.order_by("pk").values_list("pk", flat=True)[0])


def test_today_shows_a_new_opening_by_itself_and_says_so(staff_page: SignedIn, practice: Practice) -> None:
    page = staff_page("/admin/")
    expect(page.locator("#today-live")).to_contain_text("No open time right now.")
    with transaction.atomic():
        opening = practice.opening(status="offering")
    expect(page.locator(f"#opening-{opening.pk}")).to_be_visible(timeout=15_000)
    expect(page.locator("#today-status")).to_have_text("1 opening live, 0 need you.")


def test_the_focus_stays_where_it_was_when_the_page_renews_itself(staff_page: SignedIn, practice: Practice) -> None:
    opening = practice.opening(status="offering")
    page = staff_page("/admin/")
    page.locator(f"#opening-{opening.pk}").focus()
    worklist.ask_staff("x", "Something new", dedupe_key="x", location=practice.riverside)
    expect(page.locator("#today-live")).to_contain_text("Something new", timeout=15_000)
    assert page.evaluate("document.activeElement.id") == f"opening-{opening.pk}"


def test_nothing_jumps_while_somebody_types(
    staff_page: SignedIn, practice: Practice, httpserver: HTTPServer, settings: Any
) -> None:
    settings.SANDBOX_CONTROL_URL = httpserver.url_for("")
    httpserver.expect_request("/_sandbox/calendar").respond_with_json(DAY)
    httpserver.expect_request("/_sandbox/faults").respond_with_json({"faults": []})
    message(practice)
    page = staff_page("/admin/sandbox/?date=2031-03-04")
    box = page.locator("input[name=body]")
    box.fill("YES 4")
    message(practice, body="A newer text.")
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    with page.expect_response(lambda answer: "/sandbox/ehr/" in answer.url, timeout=15_000):
        pass  # the other half of the page went on, so this half has had its turn too
    with page.expect_response(lambda answer: "/sandbox/ehr/" in answer.url, timeout=15_000):
        pass
    assert not [url for url in calls if "/sandbox/people/" in url]
    expect(box).to_have_value("YES 4")
    expect(page.get_by_text("A newer text.")).to_have_count(0)
    box.fill("")
    box.blur()
    expect(page.get_by_text("A newer text.")).to_be_visible(timeout=15_000)


def test_a_part_that_gets_no_answer_says_so_and_recovers(staff_page: SignedIn, practice: Practice) -> None:
    page = staff_page("/admin/")
    page.route("**/today/live/", lambda route: route.fulfill(status=200, body="<p>back</p>"))
    page.evaluate("() => { window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('down')); }")
    notice = page.locator("#live-notice")
    expect(notice).to_have_text(
        "No answer from the server. What you see may be out of date; it tries again by itself.", timeout=15_000
    )
    page.evaluate("() => { window.fetch = window.real; }")
    expect(page.locator("#today-live")).to_have_text("back", timeout=30_000)
    expect(notice).to_be_hidden()


def test_the_exact_time_shows_on_keyboard_focus(staff_page: SignedIn, practice: Practice) -> None:
    practice.opening(status="offering", start=timezone.now() + timedelta(minutes=42))
    page = staff_page("/admin/")
    moment = page.locator("#today-live .when").first
    expect(moment.locator(".exact")).to_be_hidden()
    moment.focus()
    expect(moment.locator(".exact")).to_be_visible()


def test_an_opening_is_closed_with_the_keyboard_alone(staff_page: SignedIn, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    factories.offer(opening, practice.entry())
    page = staff_page(f"/admin/openings/{opening.pk}/")
    page.locator("#step-close").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Close: do not offer this time")
    page.get_by_role("button", name="Close: do not offer this time").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("Closed.")
    opening.refresh_from_db()
    assert opening.status == Opening.Status.CLOSED


def test_the_theme_switch_works_under_the_policy(staff_page: SignedIn, practice: Practice) -> None:
    page = staff_page("/admin/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#header .theme-toggle").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_the_words_are_shown_on_the_phone_while_they_are_typed(staff_page: SignedIn, practice: Practice) -> None:
    page = staff_page("/admin/words/en/offer/sms/")
    page.get_by_label("Text", exact=True).fill("{practice}: {time} está libre. {date}")
    expect(page.locator("#preview mark").first).to_have_text("á")
    expect(page.locator("#preview")).to_contain_text("Did you mean {time}?")
    expect(page.locator("#preview-status")).to_contain_text("STOP is missing")


def test_the_form_of_consent_prints_on_one_sheet(staff_page: SignedIn, practice: Practice) -> None:
    house = House.current()
    house.name, house.phone = f"{LONG} Family Practice", "(212) 555-0100"
    house.save()
    page = staff_page(f"/admin/waitlist/consentrecord/add/?patient={practice.patient.pk}")
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Make a form to print").click()
    form = opened.value
    expect(form.locator(".code svg")).to_be_visible()
    keep_picture(form, "form-of-consent")
    form.emulate_media(media="print")
    for sheet in ("Letter", "A4"):
        pages = len(re.findall(rb"/Type /Page\b", form.pdf(format=sheet)))
        assert pages == 1, sheet


def test_what_was_disclosed_stands_in_whole_words_on_a_phone(staff_page: SignedIn, practice: Practice) -> None:
    contact = practice.patient.contact_points.get(system="phone")
    write(practice, "Harbor Family Practice has an opening. https://example.org/o/Ehb7ipbNUlKyWBw/", timezone.now())
    report = wrong_person.freeze(contact.system, contact.address_index)[0]
    page = staff_page(f"/admin/waitlist/wrongpersonreport/{report.pk}/print/")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    cells = [page.locator(f"td[data-label={name}]") for name in ("What", "State")]
    heights = [box["height"] for cell in cells if (box := cell.bounding_box())]
    assert len(heights) == 2
    assert max(heights) < 45  # one line each
    keep_picture(page, "disclosed-on-a-phone")
