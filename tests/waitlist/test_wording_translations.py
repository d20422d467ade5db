"""The Spanish of the pages: complete, and compiled as it is written, since fresh machines have no compiler for it."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

from django.conf import settings
from django.utils.translation.template import templatize

CATALOG = Path(settings.BASE_DIR, "locale", "es", "LC_MESSAGES")
ENTRY = re.compile(r'(#, fuzzy\n)?^msgid "(.+)"\nmsgstr "(.*)"$', re.MULTILINE)
PLURAL = re.compile(r'^msgid "(.+)"\nmsgid_plural "(.+)"\nmsgstr\[0\] "(.*)"\nmsgstr\[1\] "(.*)"$', re.MULTILINE)
#: Modules whose sentences patients read.
PAGES = ("shell", "states", "content", "request", "contact")
MODULES = (
    *(f"pages/{name}.py" for name in PAGES),
    "own_request.py",
    "cancel_views.py",
    "consent_views.py",
    "unsubscribe_views.py",
    "views.py",
)
#: A marked sentence in Python, or in what Django makes of a template for the extractor.
CALL = re.compile(r'\b(?:n?gettext|_)\(\s*u?(["\'])(.+?)(?<!\\)\1', re.DOTALL)


def written() -> dict[str, str]:
    source = (CATALOG / "django.po").read_text(encoding="utf-8")
    return {match[2].replace('\\"', '"'): match[3].replace('\\"', '"') for match in ENTRY.finditer(source)}


def written_plurals() -> dict[tuple[str, int], str]:
    source = (CATALOG / "django.po").read_text(encoding="utf-8")
    return {(match[1], n): match[3 + n] for match in PLURAL.finditer(source) for n in (0, 1)}


def test_the_compiled_catalog_is_what_the_source_says() -> None:
    with (CATALOG / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {key: value for key, value in compiled._catalog.items() if key} == written() | written_plurals()  # type: ignore[attr-defined]


def test_every_sentence_is_written_in_spanish_too() -> None:
    catalog = written()
    assert len(catalog) > 50
    assert [key for key, value in catalog.items() if not value] == []
    assert "#, fuzzy" not in (CATALOG / "django.po").read_text(encoding="utf-8")


def test_what_is_written_is_what_the_pages_say() -> None:
    root = Path(settings.BASE_DIR)
    said = set()
    for path in (root / "templates" / "waitlist").glob("*.html"):
        code = templatize(path.read_text(encoding="utf-8"), origin=str(path))
        said |= {match[2].replace("%%", "%") for match in CALL.finditer(code)}
    for path in (root / "waitlist" / module for module in MODULES):
        said |= {match[2] for match in CALL.finditer(path.read_text(encoding="utf-8"))}
    assert said == set(written()) | {singular for singular, _ in written_plurals()}


def test_values_keep_their_places() -> None:
    places = re.compile(r"%\(\w+\)s")
    for key, value in written().items():
        assert sorted(places.findall(key)) == sorted(places.findall(value)), key
