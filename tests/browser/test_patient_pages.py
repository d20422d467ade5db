"""The patients' pages in Chromium: from the link to "confirmed" on a phone without scripts, and how each page looks."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from scheduling.models import Location
from tests import factories
from tests.browser.axe import violations
from tests.browser.conftest import SCHEMES, WIDTHS, Opener, hold_still, keep_picture
from tests.browser.measures import problems, sizes
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import STATES, link_of
from waitlist import consent_forms, contact_codes, unsubscribing
from waitlist.contact_codes import Written
from waitlist.links import make_request_link
from waitlist.models import Claim, Message, Offer
from waitlist.own_contacts import Change

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
RECEIVED = "We have your answer. It is not confirmed yet."


def press(page: Page, selector: str) -> None:
    """Click, and wait for the page that it leads to."""
    with page.expect_navigation():
        page.locator(selector).click()


def assert_readable(page: Page, name: str) -> None:
    """Measure a page that runs scripts at every width, by day and by night, and keep pictures of it."""
    assert violations(page) == [], name
    for width in (320, *WIDTHS):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert problems(page) == [], f"{name} {width} {scheme}"
            keep_picture(page, f"{name}-{width}-{scheme}")


def test_yes_on_a_phone_without_scripts_until_it_is_confirmed(scene: Scene, opened: Opener) -> None:
    Location.objects.update(address="12 Elm Street, Springfield")
    offer = pages.question(scene)
    page = opened(link_of(offer))
    expect(page.locator("h1")).to_have_text("Do you want this appointment?")
    assert Claim.objects.count() == 0
    page.get_by_role("button", name="Yes, I'll take it").click()
    expect(page.locator("h1")).to_have_text(RECEIVED)
    claim = Claim.objects.get()
    expect(page.locator(".reference")).to_have_text(claim.appointment.reference or "")
    scene.answer(claim)
    # Nobody presses anything: the page looks again by itself.
    expect(page.locator("h1")).to_have_text("You have this appointment", timeout=15_000)
    with page.expect_download() as started:
        page.get_by_role("link", name="Put it in my calendar").click()
    assert started.value.suggested_filename == "appointment.ics"
    page.go_back()
    page.reload()
    expect(page.locator("h1")).to_have_text("You have this appointment")
    assert Claim.objects.count() == 1


def test_no_on_a_phone_without_scripts(scene: Scene, opened: Opener) -> None:
    offer = pages.question(scene)
    page = opened(link_of(offer))
    page.get_by_role("button", name="Not this one").click()
    expect(page.locator("h1")).to_have_text("You said no to this time")
    assert Offer.objects.get(pk=offer.pk).status == "no"


def test_a_scanner_that_opens_the_link_and_runs_scripts_claims_nothing(scene: Scene, opened: Opener) -> None:
    offer = pages.question(scene)
    before = pages.rows()
    for channel in ("sms", "email"):
        page = opened(link_of(offer, channel), scripts=True)
        page.wait_for_load_state("networkidle")
        for link in page.locator("a[href^='?']").all():
            page.goto(page.url.partition("?")[0] + str(link.get_attribute("href")))
    assert pages.rows() == before


def test_the_enter_key_in_the_year_answers_nothing(scene: Scene, opened: Opener) -> None:
    offer = pages.question(scene)
    page = opened(link_of(offer, "email"))
    year = page.get_by_label("What year was the patient born?")
    year.fill("1980")
    year.press("Enter")
    expect(page.locator("h1")).to_have_text("Do you want this appointment?")
    assert Claim.objects.count() == 0
    page.get_by_role("button", name="Yes, I'll take it").click()
    expect(page.locator("h1")).to_have_text(RECEIVED)


def test_a_wrong_year_is_said_on_top_and_at_the_field(scene: Scene, opened: Opener) -> None:
    offer = pages.question(scene)
    page = opened(link_of(offer, "email"))
    page.get_by_label("What year was the patient born?").fill("1950")
    page.get_by_role("button", name="Yes, I'll take it").click()
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("There is a problem")
    summary.get_by_role("link").click()
    expect(page.get_by_label("What year was the patient born?")).to_be_focused()
    keep_picture(page, "wrong-year-390-light")
    assert Claim.objects.count() == 0


def test_the_two_answers_have_the_same_size(scene: Scene, opened: Opener) -> None:
    path = link_of(pages.question(scene))
    for language in ("en", "es"):
        for width in (320, *WIDTHS):
            found = sizes(opened(f"{path}?lang={language}", width=width), ".answers button")
            assert len(found) == 3
            assert len(set(found[:2])) == 1


def test_each_page_is_readable_at_every_width_by_day_and_by_night(scene: Scene, opened: Opener, state: Any) -> None:
    Location.objects.update(name="Downtown office", address="12 Elm Street, Suite 300, Springfield")
    offer = state(scene)
    for language in ("en", "es"):
        page = hold_still(opened(f"{link_of(offer)}?lang={language}&still=1", scripts=True))
        assert_readable(page, f"{state.__name__}-{language}")


@pytest.mark.parametrize("step", ["", "days/", "who/", "notice/", "night/", "pause/", "leave/"])
@pytest.mark.parametrize("channel", ["sms", "email"])
def test_ones_own_request_is_readable_at_every_width(scene: Scene, opened: Opener, step: str, channel: str) -> None:
    Location.objects.update(names_providers=True)
    tokens = make_request_link(scene.waiting(1)[0], timezone.now())
    token = tokens.email if channel == "email" else tokens.text
    for language in ("en", "es"):
        page = opened(f"/r/{token}/{step}?lang={language}", scripts=True)
        assert_readable(page, f"request-{step.strip('/')}-{channel}-{language}")
        if step and step != "who/" and (channel == "email" or step not in ("pause/", "leave/")):
            page.evaluate("document.querySelectorAll('input').forEach((each) => each.checked = false)")
            press(page, "main .yes")
            expect(page.get_by_role("alert")).to_be_visible()
            assert_readable(page, f"request-{step.strip('/')}-{channel}-error-{language}")


@pytest.mark.parametrize(
    ("channel", "step"),
    [
        *(("sms", step) for step in ("", "point", "phone", "email", "address", "language", "code", "saved", "call")),
        *(("email", step) for step in ("", "point")),
    ],
)
def test_changing_how_one_is_reached_is_readable_at_every_width(
    scene: Scene, opened: Opener, channel: str, step: str
) -> None:
    entry = scene.waiting(1)[0]
    tokens, number = make_request_link(entry, timezone.now()), entry.patient.contact_points.get(system="phone")
    change = Change(entry.patient, None, timezone.now())
    contact_codes.ask(change, Written("phone", "+12125550188", number, "en"))
    path = f"p{number.pk}/" if step == "point" else f"{step}/" if step else ""
    token = tokens.email if channel == "email" else tokens.text
    for language in ("en", "es"):
        page = opened(f"/r/{token}/contact/{path}?lang={language}", scripts=True)
        asks = page.locator("#birth_year")
        for wanted in ("as it is opened", "after the year", "with an error"):
            if wanted == "after the year" and asks.count():
                asks.fill("1980")
                press(page, "main .yes")
            elif wanted == "with an error" and page.locator("main .yes").count():
                press(page, "main .yes")
            elif wanted != "as it is opened":
                continue
            assert_readable(page, f"contact-{step}-{channel}-{wanted}-{language}")


def test_a_number_is_changed_on_a_phone_without_scripts(scene: Scene, opened: Opener) -> None:
    entry = scene.waiting(1)[0]
    held = entry.patient.contact_points.get(system="phone")
    page = opened(f"/r/{make_request_link(entry, timezone.now()).email}/")
    page.get_by_role("link", name="See or change how we reach you").click()
    page.get_by_label("What year was the patient born?").fill("1980")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("main")).to_contain_text(f"ends with {held.value[-2:]}")
    assert held.value not in page.content()
    page.get_by_role("button", name="Change Mobile number").click()
    page.get_by_label("New phone number").fill("(212) 555-0188")
    page.get_by_label("Yes, you may text me there").check()
    page.get_by_role("button", name="Send the code").click()
    page.get_by_label("What year was the patient born?").fill("1980")
    page.get_by_role("button", name="Go on").click()
    code = re.search(r"\d{6}", Message.objects.get(kind="contact_code").body)
    assert code
    page.get_by_label("Code").fill(code[0])
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("Your change is saved")
    held.refresh_from_db()
    assert held.use == "old"
    assert entry.patient.contact_points.filter(value__isnull=False, system="phone").exclude(use="old").count() == 1


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_giving_an_appointment_up_is_readable_at_every_width(scene: Scene, opened: Opener, channel: str) -> None:
    offer = pages.booked(scene)
    for language in ("en", "es"):
        page = opened(f"{link_of(offer, channel)}cancel/?lang={language}", scripts=True)
        assert_readable(page, f"cancel-{channel}-{language}")
        press(page, "main .yes")
        expect(page.get_by_role("alert")).to_be_visible()
        assert_readable(page, f"cancel-{channel}-error-{language}")


def test_days_are_changed_on_a_phone_without_scripts(scene: Scene, opened: Opener) -> None:
    entry = scene.waiting(1)[0]
    page = opened(f"/r/{make_request_link(entry, timezone.now()).text}/")
    page.get_by_role("link", name="Change when you could come").click()
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"):
        page.get_by_label(day).uncheck()
    page.get_by_label("in the morning, until noon").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("You are on our waitlist")
    expect(page.locator("dl")).to_contain_text("Saturday, Sunday")
    assert {row.weekday for row in entry.windows.all()} == {5, 6}


def test_the_longest_names_fit(scene: Scene, opened: Opener) -> None:
    scene.provider.name = "Dr. " + "Wolfeschlegelsteinhausenbergerdorff" * 5
    scene.provider.save()
    Location.objects.update(name="W" * 200, address="M" * 300, names_providers=True)
    offer = pages.question(scene)
    for path in (link_of(offer), link_of(offer, "email")):
        page = opened(path, scripts=True)
        for width in (320, *WIDTHS):
            page.set_viewport_size({"width": width, "height": 844})
            assert problems(page) == [], width
            keep_picture(page, f"longest-{len(path)}-{width}")


def test_asking_for_consent_and_ending_e_mails_are_readable_at_every_width(scene: Scene, opened: Opener) -> None:
    patient = factories.patient(consent=())
    mail = scene.offered(1)[0].messages.get(channel="email")
    for address in (consent_forms.make_link(patient)[1], unsubscribing.address_for(mail)):
        path = urlsplit(address).path
        for language in ("en", "es"):
            page = opened(f"{path}?lang={language}", scripts=True)
            for shown in ("question", "after the button"):  # which leads to an error, or to the end
                assert_readable(page, f"{path[1]}-{shown}-{language}")
                if shown == "question" and page.locator("main .yes").count():
                    press(page, "main .yes")


@pytest.mark.parametrize("path", ["/", "/o/" + "a" * 32 + "/"])
def test_the_bare_address_and_a_dead_link_are_readable_too(scene: Scene, opened: Opener, path: str) -> None:
    for language in ("en", "es"):
        assert_readable(opened(f"{path}?lang={language}", scripts=True), f"nobodys-{len(path)}-{language}")


def test_it_all_weighs_little_and_comes_from_here(scene: Scene, opened: Opener, live_server: Any) -> None:
    link = link_of(pages.question(scene), "email")
    for path in (link, f"{link}request/", f"{link}request/days/", f"{link}request/contact/", "/"):
        page = opened("/healthz")
        weights: dict[str, int] = {}
        page.on("response", lambda answer, weights=weights: weights.update({answer.url: len(answer.body())}))
        page.goto(f"{live_server.url}{path}", wait_until="networkidle")
        assert len(weights) >= 2
        assert all(url.startswith(live_server.url) for url in weights)
        assert sum(weights.values()) < 50_000


def test_the_keyboard_goes_from_top_to_bottom_and_shows_where_it_is(scene: Scene, opened: Opener) -> None:
    page = opened(link_of(pages.question(scene), "email"), width=1280, scripts=True)
    passed = []
    for _ in range(7):
        page.keyboard.press("Tab")
        named, outline = page.evaluate(
            "[document.activeElement.id || document.activeElement.textContent, "
            "getComputedStyle(document.activeElement).outline]"
        )
        assert "3px" in outline, named
        assert "solid" in outline, named
        passed.append(named)
    assert passed == [
        *("Español", "birth_year", "Yes, I'll take it", "Not this one", "Never on a Tuesday"),
        *("See or change what you wait for", "(212) 555-0101"),
    ]


def test_without_its_stylesheet_a_page_reads_and_works_the_same(scene: Scene, opened: Opener) -> None:
    path = link_of(pages.question(scene), "email")
    page = opened("/healthz")
    page.route("**/*.css", lambda route: route.abort())
    page.goto(page.url.replace("/healthz", path))
    says = " ".join(page.locator("body").inner_text().split())
    places = [
        says.index(each)
        for each in (
            *("Elm Street Clinic", "Do you want this appointment?", "When", "Tuesday, March 3", "Where"),
            *("Please answer by", "What year was the patient born?", "See or change", "(212) 555-0101"),
        )
    ]
    assert places == sorted(places)
    assert page.locator("button:visible").count() == 3
    keep_picture(page, "without-css-390")
    page.get_by_label("What year was the patient born?").fill("1980")
    page.get_by_role("button", name="Yes, I'll take it").click()
    expect(page.locator("h1")).to_have_text(RECEIVED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "state" in metafunc.fixturenames:
        metafunc.parametrize("state", [each[0] for each in STATES], ids=[each[0].__name__ for each in STATES])
