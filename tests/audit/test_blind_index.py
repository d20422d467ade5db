import re

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from audit.encryption import blind_index, prefix_tokens, search_tokens


def found(query: str, text: str) -> bool:
    """How a search uses the tokens: all of the query's must be among the text's."""
    tokens = set(search_tokens(query, "name"))
    return bool(tokens) and tokens <= set(prefix_tokens(text, "name"))


def test_equal_values_of_one_purpose_share_an_index() -> None:
    assert blind_index("+15555550100", "phone") == blind_index("+15555550100", "phone")
    assert blind_index("+15555550100", "phone") != blind_index("+15555550101", "phone")
    assert blind_index("+15555550100", "phone") != blind_index("+15555550100", "mrn")
    assert re.fullmatch("[0-9a-f]{64}", blind_index("", "phone"))


def test_another_key_gives_another_index(settings: object) -> None:
    before = blind_index("a", "phone")
    settings.BLIND_INDEX_KEY = "another key"  # type: ignore[attr-defined]

    assert blind_index("a", "phone") != before


def test_a_missing_key_is_refused(settings: object) -> None:
    settings.BLIND_INDEX_KEY = ""  # type: ignore[attr-defined]

    with pytest.raises(ImproperlyConfigured, match="BLIND_INDEX_KEY"):
        blind_index("a", "phone")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("jo", "José Núñez"),
        ("JOSÉ", "jose nunez"),
        ("nunez j", "J Núñez"),
        ("obrien", "Anne O’Brien"),
        ("O'BRI", "obrien"),
        ("strasse", "Straße"),
        ("lukasz", "Łukasz"),
        ("soren", "Søren"),
        ("smith-j", "Smith-Jones"),
        ("christopherson", "Christophersen"),
        ("李", "李 明"),
        ("مريم", "مريم خالد"),
        ("zoe\u0308", "Zoë"),
    ],
)
def test_names_are_found_by_the_beginning_of_their_words(query: str, text: str) -> None:
    assert found(query, text)


@pytest.mark.parametrize(
    ("query", "text"), [("mith", "Smith"), ("j", "Jones"), ("jo sm", "Jones"), ("", "Jones"), ("-- '", "Jones")]
)
def test_other_names_are_not_found(query: str, text: str) -> None:
    assert not found(query, text)


def test_tokens_are_short_keyed_and_per_purpose() -> None:
    tokens = prefix_tokens("Anderson", "family")

    assert len(tokens) == 7
    assert all(re.fullmatch("[0-9a-f]{16}", token) for token in tokens)
    assert not set(tokens) & set(prefix_tokens("Anderson", "given"))


@given(st.text(max_size=300))
def test_any_text_finds_itself_with_a_bounded_number_of_tokens(text: str) -> None:
    tokens = prefix_tokens(text, "name")

    assert set(search_tokens(text, "name")) <= set(tokens)
    assert len(tokens) <= 12 * 7
