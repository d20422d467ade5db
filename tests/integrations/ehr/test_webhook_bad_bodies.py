"""Bodies that nobody honest sends are refused in bounded time and memory, and nothing of them is kept."""

from __future__ import annotations

import io
import time

import pytest
from django.test import RequestFactory

from integrations import webhooks
from integrations.models import Connection, InboundEvent, RefusedCall
from tests import factories
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db

MEGABYTE = 1024 * 1024


@pytest.fixture
def connection() -> Connection:
    return factories.connection()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested too deeply"),
        (b'{"resourceType": "Appointment", "priority": NaN}', "NaN"),
        (b'{"resourceType": "Appointment", "priority": -Infinity}', "-Infinity"),
        (b'{"resourceType": "Appoint\xffment"}', "UTF-8"),
        ('{"resourceType": "Appointment"}'.encode("utf-16"), "NUL"),
        (b'{"resourceType": "Appointment\x00"}', "NUL"),
        (b'{"resourceType": "Appointment", "comment": "\\u0000"}', "NUL"),
        (b'{"resourceType": "Appointment"', "not valid JSON"),
        (b"<html>", "not valid JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'["Appointment"]', "not a FHIR resource"),
        (b'"Appointment"', "not a FHIR resource"),
    ],
    ids=["deep list", "deep object", "NaN", "infinity", "bad UTF-8", "UTF-16", "NUL", "escaped NUL", "cut off", "HTML",
         "a number of 5,000 digits", "list", "string"],
)  # fmt: skip
def test_a_signed_but_malformed_body_is_refused_with_a_plain_reason(
    connection: Connection, body: bytes, said: str
) -> None:
    began = time.process_time()
    answer = signing.send(connection, body)
    assert time.process_time() - began < 1
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert not InboundEvent.objects.exists()
    assert RefusedCall.objects.get().reason in ("not_json", "not_fhir")


def test_a_body_of_ten_megabytes_is_refused_unread(connection: Connection) -> None:
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            Counting.taken += len(data)
            return data

    request = RequestFactory().generic("POST", f"/webhooks/ehr/{connection.slug}/", b"")
    request.META["CONTENT_LENGTH"] = str(10 * MEGABYTE)
    request._stream = Counting(b"x" * (10 * MEGABYTE))
    with pytest.raises(webhooks.Refused) as refused:
        webhooks.take(request, connection.slug, "")
    assert (refused.value.status, Counting.taken) == (413, 0)
    assert RefusedCall.objects.get().reason == "too_large"


def test_ten_megabytes_over_http_are_413(connection: Connection) -> None:
    answer = signing.send(connection, b"x" * (10 * MEGABYTE))
    assert answer.status_code == 413
    assert "1048576 bytes" in answer.json()["detail"]
    assert not InboundEvent.objects.exists()


def test_more_than_was_announced_is_not_read(connection: Connection) -> None:
    request = RequestFactory().generic("POST", f"/webhooks/ehr/{connection.slug}/", b"")
    request.META["CONTENT_LENGTH"] = "10"
    request._stream = io.BytesIO(b"x" * (10 * MEGABYTE))
    with pytest.raises(webhooks.Refused) as refused:
        webhooks.take(request, connection.slug, "")
    assert refused.value.status == 413
    assert request._stream.tell() == MEGABYTE + 1


@pytest.mark.parametrize("announced", ["²", "x", "-1", "1e3"])
def test_a_length_that_is_no_number_is_refused(connection: Connection, announced: str) -> None:
    request = RequestFactory().generic("POST", f"/webhooks/ehr/{connection.slug}/", b"{}")
    request.META["CONTENT_LENGTH"] = announced
    with pytest.raises(webhooks.Refused) as refused:
        webhooks.take(request, connection.slug, "")
    assert refused.value.status == 413


def test_the_largest_body_that_is_taken(connection: Connection) -> None:
    head, tail = b'{"resourceType": "Appointment", "id": "a", "comment": "', b'"}'
    body = head + b"x" * (MEGABYTE - len(head) - len(tail)) + tail
    assert signing.send(connection, body).status_code == 200
    assert signing.send(connection, body + b" ").status_code == 413


def test_text_that_means_an_escaped_character_in_a_name_is_fine(connection: Connection) -> None:
    body = '{"resourceType": "Appointment", "id": "a", "comment": "Zoë \\u00e9 \\ud83d\\ude00"}'.encode()
    assert signing.send(connection, body).status_code == 200
