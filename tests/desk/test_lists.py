"""All lists: by what they are for, with what they hold; only those the person may see."""

from __future__ import annotations

from django.contrib import admin
from django.test import Client

from config.desk.lists import SECTIONS, sections
from tests.desk.pages import text_of

LISTS = "/admin/lists/"


def test_each_list_says_what_it_holds(maria: Client) -> None:
    words = text_of(maria.get(LISTS))
    assert "The day Work items what needs a person, open and done Openings freed times, live and ended" in words
    assert "Waitlist entries Add to Waitlist entries who waits, for what" in words


def test_words_are_of_lists_that_are_there() -> None:
    registered = {model.__name__ for model in admin.site._registry}
    assert {name for names in SECTIONS.values() for name in names} - registered == set()


def test_the_front_desk_sees_its_own_lists_only(dana: Client, ira: Client) -> None:
    words = text_of(dana.get(LISTS))
    assert "Waitlist entries" in words
    assert "Connections" not in words
    assert "The EHR’s connection Sources" in words
    assert "Waitlist entries" not in text_of(ira.get(LISTS))


def test_a_list_nobody_has_described_comes_last() -> None:
    model = {"object_name": "Novelty", "name": "Novelties", "admin_url": "/n/", "add_url": None}
    ((title, (line,)),) = sections([{"models": [model]}])
    assert (title, line.name, line.address, line.holds, line.add_address) == ("Others", "Novelties", "/n/", "", "")
