"""A link tells a stranger nothing, leaves no trace, and shows whatever is in the records as plain text."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings as project_settings
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from audit.models import AccessRecord
from config.logs import masked
from scheduling.models import Location, Practice
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import STATES, heading, link_of, nobody_has_guessed  # noqa: F401
from waitlist import consent_forms, links
from waitlist.models import Claim, Message, Offer
from waitlist.pages import limits
from waitlist.unsubscribing import address_for

pytestmark = pytest.mark.django_db
GUESSES = ("a" * 32, "b" * 43, "short", "x" * 300, "%00", "'; DROP TABLE waitlist_offer; --", "\u202e")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Somebody else, at another address."""
    return Client(REMOTE_ADDR="203.0.113.9")


# --- guessing ---------------------------------------------------------------------------------------------------------
def test_every_link_that_leads_nowhere_gets_one_answer(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    right = link_of(offer)
    bodies, codes = set(), set()
    for guess in (*GUESSES, right.split("/")[2][:-1], right.split("/")[2] + "A", right.split("/")[2].swapcase()):
        answer = client.get(f"/o/{guess}/")
        bodies.add(answer.content)
        codes.add(answer.status_code)
    assert codes == {404}
    assert len(bodies) == 1
    assert b"This link does not work" in bodies.pop()


def test_a_link_that_lost_or_got_a_part_on_its_way_gets_the_same_answer_and_the_phone(
    scene: Scene, client: Client
) -> None:
    offer = pages.question(scene)
    wrong = client.get("/o/" + "a" * 32 + "/").content
    for path in ("/o/", "/r/", "/c/", "/u/", f"{link_of(offer)}x/y/", f"{link_of(offer)}./"):
        cut = client.get(path)
        assert (cut.status_code, cut.content) == (404, wrong), path
        assert "(212) 555-0100" in cut.content.decode()
        assert client.post(path).status_code == 405
    for path in ("/o", link_of(offer).removesuffix("/")):
        assert client.get(path).headers["Location"] == f"{path}/"
    assert client.get("/x/").content != wrong


def test_the_bare_address_leads_patients_to_their_message_and_staff_to_their_login(
    scene: Scene, client: Client
) -> None:
    before = pages.rows()
    page = client.get("/")
    assert (page.status_code, heading(page)) == (200, "Do you have a message from us?")
    body = page.content.decode()
    assert "Please open the link in the newest message from us, or call us." in body
    assert '<a class="phone" href="tel:+12125550100">(212) 555-0100</a>' in body
    assert '<a class="link" href="/admin/">Sign in as staff</a>' in body
    assert (page.headers["Cache-Control"], page.headers["X-Robots-Tag"]) == ("no-store", "noindex, nofollow")
    spanish = client.get("/", headers={"accept-language": "es-MX,es;q=0.9"})
    assert heading(spanish) == "¿Tiene un mensaje nuestro?"
    assert (client.head("/").status_code, client.post("/").status_code) == (200, 405)
    assert pages.rows() == before


def test_nothing_is_posted_to_a_link_that_leads_nowhere(scene: Scene, client: Client) -> None:
    pages.question(scene)
    before = pages.rows()
    assert client.post("/o/" + "a" * 32 + "/", {"answer": "yes"}).status_code == 404
    assert client.get("/o/" + "a" * 32 + "/calendar.ics").status_code == 404
    assert pages.rows() == before


def test_a_proposal_nobody_was_sent_has_no_page(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    path = link_of(offer)
    Offer.objects.filter(pk=offer.pk).update(status="proposed")
    for below in ("", "cancel/", "calendar.ics", "request/", "request/contact/"):
        assert client.get(path + below).content == client.get("/o/" + "a" * 32 + "/").content
    assert client.post(path, {"answer": "yes"}).status_code == 404
    assert Claim.objects.count() == 0


def test_whoever_guesses_is_told_to_wait_and_nobody_else_is(scene: Scene, client: Client, away: Client) -> None:
    offer = pages.question(scene)
    for number in range(limits.WRONG_LINKS):
        assert client.get(f"/o/{number:032d}/").status_code == 404
    slow = client.get("/o/" + "a" * 32 + "/")
    assert (slow.status_code, heading(slow)) == (429, "Please wait ten minutes")
    assert slow.headers["Retry-After"] == "600"
    assert "(212) 555-0100" in slow.content.decode()
    # The same phone company's address: a right link opens all the same.
    assert heading(client.get(link_of(offer))) == "Do you want this appointment?"
    assert away.get("/o/" + "a" * 32 + "/").status_code == 404
    scene.pass_time(minutes=11)
    assert client.get("/o/" + "a" * 32 + "/").status_code == 404


def test_an_invented_forwarded_address_does_not_help_the_guesser(client: Client, scene: Scene) -> None:
    codes = [
        client.get(f"/o/{number:032d}/", headers={"x-forwarded-for": f"198.51.100.{number}"}).status_code
        for number in range(limits.WRONG_LINKS + 1)
    ]
    assert codes[-1] == 429


def test_one_home_of_ipv6_addresses_is_one_guesser(scene: Scene) -> None:
    codes = [
        Client(REMOTE_ADDR=f"2001:db8:1:2:{number * 0xC00:x}::1").get("/o/" + "a" * 32 + "/").status_code
        for number in range(1, limits.WRONG_LINKS + 2)
    ]
    assert codes[-1] == 429
    assert Client(REMOTE_ADDR="2001:db8:1:3::1").get("/o/" + "a" * 32 + "/").status_code == 404


def test_who_comes_from_no_known_address_guesses_no_more_often(scene: Scene) -> None:
    """As everybody does who comes by a Unix socket without a proxy."""
    hidden = Client(REMOTE_ADDR="")
    codes = [hidden.get("/o/" + "a" * 32 + "/").status_code for _ in range(limits.WRONG_LINKS + 1)]
    assert (codes[-2], codes[-1]) == (404, 429)


@pytest.mark.long
def test_a_scanner_that_follows_every_link_from_page_to_page_changes_nothing(scene: Scene, client: Client) -> None:
    asked, booked = scene.offered(1, hours=30)[0], pages.booked(scene)
    own = links.make_request_link(asked.entry, timezone.now())
    form = consent_forms.make_link(asked.patient)[1]
    mail = Message.objects.filter(offer=asked, channel="email").get()
    starts = [link_of(offer, channel) for offer in (asked, booked) for channel in ("sms", "email")]
    starts += [f"/r/{own.text}/", f"/r/{own.email}/", *(urlsplit(each).path for each in (form, address_for(mail)))]
    before, seen, ahead = pages.rows(), set(), list(starts)
    while ahead:
        path = ahead.pop()
        if path in seen or path.startswith(("/static/", "/admin/")) or not path.startswith("/"):
            continue
        seen.add(path)
        assert client.head(path).status_code in (200, 303), path
        page = client.get(path)
        for href in [*re.findall(r'href="([^"]+)"', page.content.decode()), page.headers.get("Location", "")]:
            ahead.append(urljoin(path, href).replace("&amp;", "&"))
    kinds = {re.sub(r"^/[a-z]/[^/]+/", "", each).partition("?")[0] for each in seen}
    assert {"", "calendar.ics", "cancel/", "request/leave/", "pause/", "contact/phone/", "request/contact/"} <= kinds
    assert pages.rows() == before


# --- traces -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [each[0] for each in STATES], ids=lambda state: state.__name__)
def test_a_page_is_not_kept_not_found_and_not_told_of(scene: Scene, client: Client, state: Any) -> None:
    path = link_of(state(scene))
    token = path.split("/")[2]
    for answer in (client.get(path), client.head(path), client.get(f"{path}calendar.ics"), client.post(path)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert answer.cookies == {}
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "script" not in policy
        assert token not in answer.content.decode()


def test_a_look_is_on_record_once_something_was_shown(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    path = link_of(offer)
    client.head(path)
    assert not AccessRecord.objects.filter(action="view").exists()
    client.get(path)
    seen = AccessRecord.objects.get(action="view")
    assert (seen.subject_kind, seen.subject_id) == ("waitlist.offer", str(offer.pk))
    assert seen.location_id == scene.location.pk
    assert (seen.actor_name, seen.detail) == (
        f"patient {offer.patient_id}",
        {"page": "question", "patient": offer.patient_id},
    )


def test_a_dead_link_is_answered_with_the_same_headers(client: Client, scene: Scene) -> None:
    alive = client.get(link_of(pages.question(scene))).headers
    dead = client.get("/o/" + "a" * 32 + "/").headers
    for name in ("Cache-Control", "Referrer-Policy", "X-Robots-Tag", "Content-Security-Policy", "X-Frame-Options"):
        assert alive[name] == dead[name]


def test_a_token_stands_in_no_log_line(scene: Scene, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    path = link_of(pages.question(scene))
    token = path.split("/")[2]
    with caplog.at_level(logging.DEBUG):
        client.get(path)
        client.put(path)
        client.get(f"{path}calendar.ics?lang=en")
        client.get("/o/" + "a" * 32 + "/")
    written = [masked(record.getMessage()) for record in caplog.records if record.name != "django.db.backends"]
    assert any("/o/…" in line for line in written)
    assert not any(token in line for line in written)


def test_a_page_is_small_and_needs_nothing_from_elsewhere(scene: Scene, client: Client) -> None:
    style = Path(project_settings.BASE_DIR, "static/patient/patient.css").read_bytes()
    mark = Path(project_settings.BASE_DIR, "static/patient/mark.svg").read_bytes()
    body = client.get(link_of(pages.question(scene), "email")).content
    assert len(body) + len(style) + len(mark) < 15_000
    text = body.decode()
    assert "<script" not in text
    assert "style=" not in text
    assert " onclick" not in text
    assert set(re.findall(r'(?:src|href)="([^"]+)"', text)) == {
        "/static/patient/patient.css",
        "/static/patient/mark.svg",
        "?lang=es",
        "request/?lang=en",
        "tel:+12125550101",
    }


# --- what a request may pretend ---------------------------------------------------------------------------------------
def test_a_pretended_host_leads_nobody_elsewhere(scene: Scene, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    path = link_of(pages.question(scene))
    visitor = Client(headers={"host": "evil.example.org", "x-forwarded-host": "evil.example.org"})
    assert "evil" not in visitor.get(path).content.decode()
    assert visitor.post(path, {"answer": "yes"}).headers["Location"] == path
    assert not any("evil" in body for body in Message.objects.values_list("body", flat=True))


@pytest.mark.parametrize("name", ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"])
def test_a_header_does_not_turn_looking_into_answering(scene: Scene, client: Client, name: str) -> None:
    path = link_of(pages.question(scene))
    before = pages.rows()
    assert client.get(path, {"answer": "yes", "_method": "POST"}, headers={name: "POST"}).status_code == 200
    assert pages.rows() == before


def test_a_browser_that_hides_where_it_comes_from_is_answered(scene: Scene) -> None:
    """With ``no-referrer``, browsers post with ``Origin: null``, which Django's own check would refuse."""
    path = link_of(pages.question(scene))
    browser = Client(enforce_csrf_checks=True, headers={"origin": "null", "sec-fetch-site": "same-origin"})
    assert browser.post(path, {"answer": "yes"}).status_code == 303
    assert Claim.objects.count() == 1


# --- whatever is in the records ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "{{7*7}}",
        "{% load x %}",
        "Robert'); DROP",
        "n" * 190,
        "שלום",
        "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍",
        '" onload="x',
        "a&b",
    ],
)
def test_hostile_names_are_shown_as_text(scene: Scene, client: Client, name: str) -> None:
    Location.objects.update(name=name, address=name, names_providers=True)
    Practice.objects.update(name=name[:120])
    scene.provider.name = name
    scene.provider.save()
    offer = pages.question(scene)
    shown = client.get(link_of(offer)).content.decode()
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace('"', "&quot;").replace("'", "&#x27;")
    assert f"<dd><bdi>{escaped}</bdi></dd>" in shown
    assert f"<bdi>{escaped}</bdi><br><bdi>{escaped}</bdi>" in shown
    assert "<script" not in shown
    assert "49" not in re.sub(r"\d{3,}", "", shown)
    mail = Message.objects.get(offer=offer, kind="offer", channel="email")
    assert f"With {name}" in mail.body


def test_marks_that_turn_writing_around_are_taken_out(scene: Scene, client: Client) -> None:
    Location.objects.update(names_providers=True)
    scene.provider.name = "Dr. \u202eneh\u2066C\x07 \x1b[31m"
    scene.provider.save()
    offer = pages.question(scene)
    assert "<bdi>Dr. neh C [31m</bdi>" in client.get(link_of(offer)).content.decode()
    for body in Message.objects.filter(offer=offer).values_list("body", flat=True):
        assert "Dr. neh C [31m" in body


# --- pages for errors -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "429", "500"])
def test_an_error_page_says_in_both_languages_what_is_safe(code: str) -> None:
    body = render_to_string(f"{code}.html")
    assert body.count("<h1>") == 1
    assert '<section lang="es">' in body
    assert "<title></title>" not in body
    if code != "500":
        assert "Nothing was booked or changed." in body
        assert "No hemos reservado ni cambiado nada." in body
    assert "<script" not in body


def test_a_failure_while_answering_shows_the_plain_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("Robin Sample, 555-0100")

    path = link_of(pages.question(scene))
    monkeypatch.setattr("waitlist.views.claims.claim", fail)
    answer = Client(raise_request_exception=False).post(path, {"answer": "yes"})
    assert answer.status_code == 500
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "it shows what is true now" in answer.content.decode()
    assert "Robin" not in answer.content.decode()
    assert Claim.objects.count() == 0
