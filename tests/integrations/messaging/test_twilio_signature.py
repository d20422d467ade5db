"""Twilio's signature, against the example Twilio publishes."""

from __future__ import annotations

import base64
import hmac

import pytest

from integrations.messaging.twilio import signature

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": ["CA1234567890ABCDE"],
    "Caller": ["+12349013030"],
    "Digits": ["1234"],
    "From": ["+12349013030"],
    "To": ["+18005551212"],
}
PUBLISHED = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


def test_published_example() -> None:
    assert signature.sign(TOKEN, URL, FIELDS) == PUBLISHED
    assert signature.matches(PUBLISHED, TOKEN, URL, FIELDS)


def test_any_change_breaks_it() -> None:
    assert not signature.matches(PUBLISHED, "12346", URL, FIELDS)
    assert not signature.matches(PUBLISHED, TOKEN, URL + "&baz=3", FIELDS)
    assert not signature.matches(PUBLISHED, TOKEN, URL, {**FIELDS, "Digits": ["1235"]})
    assert not signature.matches(PUBLISHED, TOKEN, URL, {**FIELDS, "Extra": ["1"]})
    assert not signature.matches("", TOKEN, URL, FIELDS)
    assert not signature.matches("é", TOKEN, URL, FIELDS)


def test_a_field_given_twice_counts_with_each_value_once() -> None:
    """As Twilio's own libraries build what they check."""
    signed = base64.b64encode(hmac.new(b"12345", f"{URL}MediaUrlaMediaUrlb".encode(), "sha1").digest()).decode()
    assert signature.sign(TOKEN, URL, {"MediaUrl": ["b", "a", "b"]}) == signed


@pytest.mark.parametrize(
    ("bare", "with_port"),
    [
        ("https://example.org/sms", "https://example.org:443/sms"),
        ("http://example.org/sms", "http://example.org:80/sms"),
        ("https://[2001:db8::1]/sms", "https://[2001:db8::1]:443/sms"),
    ],
)
def test_with_or_without_the_port(bare: str, with_port: str) -> None:
    assert signature.matches(signature.sign(TOKEN, with_port, FIELDS), TOKEN, bare, FIELDS)
    assert signature.matches(signature.sign(TOKEN, bare, FIELDS), TOKEN, with_port, FIELDS)
    odd = "http://localhost:8000/sms"
    assert signature.matches(signature.sign(TOKEN, odd, FIELDS), TOKEN, odd, FIELDS)
    assert not signature.matches(signature.sign(TOKEN, "http://localhost:8001/sms", FIELDS), TOKEN, odd, FIELDS)
