"""GET never changes anything: every address of the site is asked for by GET and HEAD, buttons' addresses among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from django.apps import apps
from django.test import Client
from django.urls import URLResolver, get_resolver

from tests.desk.conftest import Practice
from tests.desk.test_every_page import fill, visit
from tests.waitlist.pages import rows

pytestmark = pytest.mark.long

ACTION = re.compile(r'<(?:form|button)\b[^>]*\b(?:form)?action="([^"#]+)')
PLACE = re.compile(r"<(?:\w+:)?(\w+)>")
#: What stands for a part of an address that is no row's key.
WORDS = {"slug": "sandbox", "channel": "console", "named": "Appointment/b-1", "step": "close", "token": "x" * 32}


def patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, str]]:
    """Every address the site answers at, as it is written in its URL configuration, with its name."""
    for each in resolver.url_patterns:
        pattern = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, pattern)
        elif "(?P<" not in pattern:  # lists of an app's models, and whatever is no address
            yield pattern, each.name or ""


def addresses(practice: Practice) -> set[str]:
    """Every address with the key of a row that it is about."""
    keys = {model._meta.label_lower.replace(".", "_"): first_key(model) for model in apps.get_models()}
    keys["desk_opening"], keys["desk_status"] = keys["scheduling_opening"], str(practice.connection.pk)

    def fill_in(pattern: str, name: str) -> str:
        about = next((key for prefix, key in keys.items() if name.startswith(prefix)), "1")
        return "/" + PLACE.sub(lambda place: WORDS.get(place[1], about), pattern)

    return {fill_in(pattern, name) for pattern, name in patterns(get_resolver())}


def first_key(model: type) -> str:
    return str(model._base_manager.values_list("pk", flat=True).first() or 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["get", "head"])
def test_every_address(maria: Client, practice: Practice, method: str) -> None:
    fill(practice)
    asked = addresses(practice)
    assert len(asked) > 200
    before = rows()
    for path in sorted(asked - {"/admin/logout/"}):
        assert getattr(maria, method)(path).status_code < 500, path
    after = rows()
    assert [name for name in before if before[name] != after[name]] == []


def test_every_page_and_the_address_behind_every_button_on_it(maria: Client, practice: Practice) -> None:
    fill(practice)
    before = rows()
    buttons = {urljoin(path, action) for path, _, page in visit(maria) for action in ACTION.findall(page)}
    assert len(buttons) > 20
    for path in sorted(buttons - {"/admin/logout/"}):
        assert maria.get(path.replace("&amp;", "&")).status_code < 500, path
    after = rows()
    assert [name for name in before if before[name] != after[name]] == []
