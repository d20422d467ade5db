"""Every page a person can reach: it opens, it holds no script or style of its own, its title names no patient."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from django.test import Client
from django.urls import reverse

from integrations.models import CodeMapping, InboundEvent
from scheduling.models import AppointmentType, Patient
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.rows import rows_at

pytestmark = pytest.mark.long

#: What a strict Content-Security-Policy refuses: inline scripts and styles, event handlers.
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
#: Begins a script, a formula and a template where it is not written out as text.
HOSTILE = "\"'=<script></b{{7*7}}"
LINK = re.compile(r'<a\b[^>]*\bhref="([^"#]+)')
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


def visit(client: Client, start: str = "/admin/") -> Iterator[tuple[str, int, str]]:
    """Follow every link once per kind of address; ids count as one kind."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop(0)
        kind = re.sub(r"\d+", "N", path.partition("?")[0]) + ("?" if "?" in path else "")
        if kind in seen or path.startswith("/admin/logout"):
            continue
        seen.add(kind)
        response = client.get(path, follow=True)
        page = response.content.decode()
        yield path, response.status_code, page
        for link in LINK.findall(page):
            target = urljoin(path, link.replace("&amp;", "&"))
            if target.startswith("/admin/"):
                waiting.append(target)


def fill(practice: Practice) -> None:
    rows_at(practice, practice.riverside, practice.patient)
    codes = {"external": "a-9", "source": practice.source, "reason_code": "x-9"}
    factories.appointment(practice.patient, practice.chen, practice.riverside, status="cancelled", **codes)
    InboundEvent.objects.create(
        connection=practice.connection,
        via="webhook",
        dedupe_key="1",
        subject_key="Appointment/a-9",
        body=b'{"resourceType": "Appointment"}',
        status="quarantined",
        due_at=practice.connection.loaded_at,
        received_at=practice.connection.loaded_at,
    )
    CodeMapping.objects.create(connection=practice.connection, domain="reason", code="x-9")
    entry = practice.entry(factories.patient(locations=[practice.riverside]))
    values = {"provider": practice.chen, "location": practice.riverside, "suited": 1, "entries": [entry.pk]}
    factories.past_cancellation(practice.source, "long ago", **values)


def test_every_page_opens_and_obeys_the_security_policy(maria: Client, practice: Practice) -> None:
    fill(practice)
    practice.patient.given_name, practice.patient.family_name = f"Zebedee{HOSTILE}", "Quillfeather"
    practice.patient.save()
    for named in (practice.chen, practice.riverside, AppointmentType.objects.get()):
        named.name = f"{HOSTILE}{named.name}"[:100]
        named.save()
    visited = {}
    for path, status, page in visit(maria):
        visited[path] = page
        assert status == 200, path
        assert not INLINE.search(page), (path, INLINE.search(page))
        titles = " ".join(TITLE.findall(page))
        assert "Quillfeather" not in titles, path
        assert "Quillfeather" not in path
        assert "</b{{" not in page, path
    assert len(visited) > 120
    assert sum("&lt;/b{{7*7}}" in page for page in visited.values()) > 20
    assert any("Quillfeather" in page for page in visited.values())


def test_the_policy_is_sent_and_forbids_inline(dana: Client) -> None:
    policy = dana.get("/admin/")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_front_desk_meets_no_closed_door_on_its_way(dana: Client, practice: Practice) -> None:
    fill(practice)
    closed = [(path, status) for path, status, _ in visit(dana) if status != 200]
    assert closed == [], closed


def test_those_who_run_the_connections_meet_no_closed_door(ira: Client, practice: Practice) -> None:
    fill(practice)
    closed = [(path, status) for path, status, _ in visit(ira) if status != 200]
    assert closed == []


def test_hostile_names_are_shown_as_text(maria: Client, practice: Practice) -> None:
    name = "<script>alert(1)</script>{{7*7}}\u202e" + "x" * 300
    Patient.objects.filter(pk=practice.patient.pk).update(family_name=name)
    opening = practice.opening(status="offering", waves_sent=1)
    factories.offer(opening, practice.entry())
    for path in ("/admin/", f"/admin/openings/{opening.pk}/", reverse("admin:waitlist_waitlistentry_changelist")):
        page = maria.get(path).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page


def test_a_list_without_rows_says_so_and_a_filter_without_hits_says_how_to_go_on(maria: Client) -> None:
    assert (
        "Nobody is on the waitlist. Press “Add waitlist entry”"
        in maria.get("/admin/waitlist/waitlistentry/").content.decode()
    )
    page = maria.get("/admin/waitlist/waitlistentry/?status__exact=paused").content.decode()
    assert 'Nothing here matches. <a href="?">Show the whole list</a>' in page
