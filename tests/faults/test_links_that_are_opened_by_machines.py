"""Mail scanners and previewers open every link, strangers try links of their own: nothing is claimed, nothing told."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable

import pytest
import requests
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from config.logs import masked
from scheduling.models import Writeback
from tests.flows.clinic import Clinic
from tests.waitlist.pages import rows
from waitlist import links, unsubscribing
from waitlist.models import Claim, ConsentRecord, Message, Offer
from waitlist.urls import BEHIND_A_TOKEN

pytestmark = pytest.mark.django_db(transaction=True)

LINK = re.compile(r"https?://[^/\s]+(/\S*)")
HREF = re.compile(r'(?:href|src|action)="(/[^"]*)"')


def links_sent() -> list[str]:
    """The path of every link in every message, the one for ending e-mails among them."""
    in_headers = [unsubscribing.address_for(each) for each in Message.objects.filter(channel="email")]
    texts = [*Message.objects.values_list("body", flat=True), *in_headers]
    return [path for text in texts for path in LINK.findall(text)]


def test_every_link_by_get_and_head_and_whatever_its_page_links_to(offering: Clinic, live_server: LiveServer) -> None:
    sent = links_sent()
    assert len(sent) >= 6, "two patients, by text and by e-mail, which also can be ended"
    before = rows()
    for path in sent:
        assert requests.head(f"{live_server.url}{path}", timeout=10).status_code == 200
        page = requests.get(f"{live_server.url}{path}", timeout=10)
        assert page.status_code == 200
        guessed = {f"{path}?answer=yes", f"{path}calendar.ics"}
        for further in set(HREF.findall(page.text)) | guessed:
            requests.get(f"{live_server.url}{further}", timeout=10)
            requests.head(f"{live_server.url}{further}", timeout=10)
    after = rows()
    assert {name for name in before if before[name] != after[name]} <= {"auditlog.LogEntry"}
    assert not Claim.objects.exists()
    assert not ConsentRecord.objects.filter(action="revoked").exists()
    assert set(Offer.objects.values_list("status", flat=True)) == {"sent"}


@pytest.mark.browser
def test_a_scanner_that_runs_scripts_claims_nothing(offering: Clinic, live_server: LiveServer) -> None:
    from playwright.sync_api import sync_playwright

    paths = links_sent()
    seen: list[str] = []

    def visit() -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for path in paths:
                page = browser.new_page()
                page.goto(f"{live_server.url}{path}", wait_until="networkidle")
                seen.append(page.locator("h1").inner_text())
            browser.close()

    _in_a_thread(visit)
    assert len(seen) == len(paths)
    assert not Claim.objects.exists()
    assert not Writeback.objects.exists()
    assert set(Offer.objects.values_list("status", flat=True)) == {"sent"}


def _in_a_thread(act: Callable[[], None]) -> None:
    """Playwright runs an event loop, in whose thread Django would refuse its database."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(act).result()


def test_tokens_are_unguessable_hashed_at_rest_and_answered_alike(offering: Clinic) -> None:
    tokens = [path.split("/o/")[1].strip("/") for path in links_sent() if "/o/" in path]
    assert len(set(tokens)) == len(tokens) >= 4
    kept = str(list(Offer.objects.values()))
    for token in tokens:
        assert len(token) * 6 >= 128, "each character carries six bits"
        assert token not in kept
        assert links.find_offer(token) is not None
    token = tokens[0]

    made = [int.from_bytes(base64.urlsafe_b64decode(links.make_token().text + "==")) for _ in range(256)]
    assert all({number >> bit & 1 for number in made} == {0, 1} for bit in range(128)), "every bit is left to chance"

    guesses = [token[:-1], token[::-1], secrets.token_urlsafe(links.SECRET_BYTES), "x"]
    answers = {(answer.status_code, answer.content) for answer in (Client().get(f"/o/{guess}/") for guess in guesses)}
    assert len(answers) == 1
    assert next(iter(answers))[0] == 404


def test_every_page_behind_a_token_is_kept_nowhere_told_to_nobody_and_masked_in_logs(client: Client) -> None:
    token, paths = secrets.token_urlsafe(links.SECRET_BYTES), set()
    for pattern in BEHIND_A_TOKEN:
        names = re.findall(r"<\w+:(\w+)>", str(pattern.pattern))
        paths.add(
            "/" + re.sub(r"<\w+:(\w+)>", lambda found: token if found[1] == "token" else "days", str(pattern.pattern))
        )
        assert "token" in names
    assert {path.split("/")[1] for path in paths} == {"o", "c", "r", "u"}
    # So are a redirect to the address with its slash, and what is no page at all.
    for path in [*paths, *(path.rstrip("/") for path in paths), *(f"{path}more/" for path in paths)]:
        answer = client.get(path)
        assert answer.status_code in (301, 404, 429), path
        assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer"), path
        assert token not in answer.content.decode(), path
        assert token not in masked(f"GET {path} 404"), path


def test_who_guesses_on_is_slowed_down_and_patients_are_not(offering: Clinic) -> None:
    statuses = [
        Client(REMOTE_ADDR="203.0.113.9").get(f"/o/{secrets.token_urlsafe(links.SECRET_BYTES)}/").status_code
        for _ in range(80)
    ]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    for path in links_sent():
        assert Client(REMOTE_ADDR="203.0.113.10").get(path).status_code == 200
    mistyped = f"/o/{secrets.token_urlsafe(links.SECRET_BYTES)}/"
    assert Client(REMOTE_ADDR="203.0.113.10").get(mistyped).status_code == 404
