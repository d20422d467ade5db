"""A patient who was passed over for want of a paper: the item leads to the entry, and its day there ends it."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from scheduling.models import WorkItem
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from tests.desk.test_waitlist_entries import LIST, form
from waitlist import candidates, missing_papers, ranking


def test_from_the_item_to_the_entry_and_back(dana: Client, practice: Practice) -> None:
    entry = practice.entry(referral_required=True)
    opening = practice.opening()
    missing_papers.ask(opening, ranking.top(opening, 1, facts=candidates.facts_for(opening)))
    item = WorkItem.objects.get()
    page = f"/admin/scheduling/workitem/{item.pk}/change/"
    words = text_of(dana.get(page))
    assert "A freed time was not offered to a patient: referral missing or expired" in words
    assert "Asked for" in words
    assert "asked again in a week" in words
    assert f"{LIST}{entry.pk}/change/" in dana.get(page).content.decode()

    until = timezone.localdate() + timedelta(days=30)
    paper = {"referral_required": "on", "referral_valid_until": until.isoformat()}
    answer = dana.post(f"{LIST}{entry.pk}/change/", form(practice, **paper))
    assert said(dana, answer) == "Saved. The line is up to date."
    item.refresh_from_db()
    assert (item.status, item.resolution) == ("done", "The papers are on the entry.")
