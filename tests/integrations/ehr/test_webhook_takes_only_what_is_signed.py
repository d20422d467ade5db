"""A webhook call counts only with a signature over its raw bytes; anything else is refused, counted and not kept."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import time_machine

from integrations.models import Connection, InboundEvent, RefusedCall
from tests import factories
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db

BODY = b'{"resourceType": "Appointment", "id": "a-1", "meta": {"versionId": "1"}}'
SCHEMES = [signing.plain, signing.hub, signing.hub_256, signing.timed]
#: Headers by which senders of other systems show that they know a secret, instead of signing with it.
OFFERING = {
    "Authorization": f"Bearer {signing.SECRET}",
    "Proxy-Authorization": f"Basic {base64.b64encode(f'sooner:{signing.SECRET}'.encode()).decode()}",
    "X-Webhook-Secret": signing.SECRET,
    "X-Webhook-Token": signing.SECRET,
    "X-Api-Key": signing.SECRET,
    "X-Auth-Token": signing.SECRET,
    "X-Signature": signing.SECRET,
    "X-Hub-Signature-256": f"sha256={signing.SECRET}",
    "X-Signature-V2": f"t={int(time.time())},v1={signing.SECRET}",
    "webhook-signature": f"v1,{base64.b64encode(signing.SECRET.encode()).decode()}",
    "Cookie": f"secret={signing.SECRET}",
}


@pytest.fixture
def connection() -> Connection:
    return factories.connection(webhook_secrets=[signing.SECRET, signing.STANDARD_SECRET])


def refusals() -> list[tuple[str, str, int]]:
    return list(RefusedCall.objects.order_by("pk").values_list("endpoint", "reason", "count"))


@pytest.mark.parametrize("scheme", [*SCHEMES, signing.standard])
def test_a_signed_call_is_stored_as_it_came(connection: Connection, scheme: signing.plain) -> None:  # type: ignore[valid-type]
    answer = signing.send(connection, BODY, scheme(BODY))
    assert (answer.status_code, answer.json()) == (200, {"status": "stored"})
    event = InboundEvent.objects.get()
    assert bytes(event.body) == BODY
    assert (event.status, event.subject_key, event.via) == ("received", "Appointment/a-1", "webhook")
    assert not RefusedCall.objects.exists()


@pytest.mark.parametrize("scheme", [*SCHEMES, signing.standard])
def test_a_wrong_secret_is_refused_counted_and_not_stored(connection: Connection, scheme) -> None:
    for _ in range(2):
        answer = signing.send(connection, BODY, scheme(BODY, "another-secret"))
        assert answer.status_code == 401
        assert answer["Content-Type"] == "application/problem+json"
    assert not InboundEvent.objects.exists()
    assert refusals() == [(connection.slug, "bad_signature", 2)]


def test_an_unsigned_call_is_told_how_to_sign(connection: Connection) -> None:
    answer = signing.send(connection, BODY, {})
    assert answer.status_code == 401
    assert "X-Signature" in answer.json()["detail"]
    assert not InboundEvent.objects.exists()
    assert refusals() == [(connection.slug, "missing_signature", 1)]


@pytest.mark.parametrize("name", [*OFFERING, None], ids=str)
def test_a_secret_offered_in_a_header_opens_nothing(connection: Connection, name: str | None) -> None:
    """Each alone, as if nothing else were known of the caller, and all together."""
    offered = {name: OFFERING[name]} if name else OFFERING
    assert signing.send(connection, BODY, offered).status_code == 401
    assert not InboundEvent.objects.exists()


def test_a_secret_offered_in_the_address_opens_nothing(connection: Connection) -> None:
    query = urlencode({"secret": signing.SECRET, "token": signing.SECRET, "access_token": signing.SECRET})
    assert signing.send(connection, BODY, {}, path=f"?{query}").status_code == 401
    assert not InboundEvent.objects.exists()


@pytest.fixture
def still() -> Iterator[None]:
    """A clock that stands, so that a slow machine changes no age."""
    with time_machine.travel(int(time.time()), tick=False):
        yield


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("age", [301, 3600, -301, -3600])
@pytest.mark.parametrize("scheme", [signing.timed, signing.standard])
def test_a_time_more_than_five_minutes_away_is_refused(connection: Connection, scheme, age: int) -> None:
    answer = signing.send(connection, BODY, scheme(BODY, age=age))
    assert answer.status_code == 401
    assert "clock" in answer.json()["detail"]
    assert not InboundEvent.objects.exists()
    assert refusals() == [(connection.slug, "stale_timestamp", 1)]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("age", [300, -300])
@pytest.mark.parametrize("scheme", [signing.timed, signing.standard])
def test_a_clock_that_is_a_little_off_is_no_offence(connection: Connection, scheme, age: int) -> None:
    assert signing.send(connection, BODY, scheme(BODY, age=age)).status_code == 200


def test_a_recorded_call_does_not_become_fresh_without_its_timed_signature(connection: Connection) -> None:
    """The sandbox sends both; stripping the one that covers the time leaves a replay, which is known already."""
    headers = signing.timed(BODY)
    assert signing.send(connection, BODY, headers).json() == {"status": "stored"}
    stripped = {"X-Signature": headers["X-Signature"]}
    assert signing.send(connection, BODY, stripped).json() == {"status": "known"}
    assert InboundEvent.objects.count() == 1


def test_a_broken_timed_signature_is_not_outvoted_by_a_good_plain_one(connection: Connection) -> None:
    headers = signing.timed(BODY) | {"X-Signature-V2": "t=abc,v1=00"}
    assert signing.send(connection, BODY, headers).status_code == 401
    assert not InboundEvent.objects.exists()


def test_json_written_anew_under_the_old_signature_is_refused(connection: Connection) -> None:
    rewritten = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    assert json.loads(rewritten) == json.loads(BODY)
    assert signing.send(connection, rewritten, signing.plain(BODY)).status_code == 401
    assert not InboundEvent.objects.exists()


def test_old_and_new_secret_are_both_taken_while_one_rotates() -> None:
    connection = factories.connection(webhook_secrets=["new-secret", "old-secret"])
    other = BODY.replace(b"a-1", b"a-2")
    assert signing.send(connection, BODY, signing.plain(BODY, "old-secret")).status_code == 200
    assert signing.send(connection, other, signing.plain(other, "new-secret")).status_code == 200
    assert InboundEvent.objects.count() == 2
    connection.webhook_secrets = ["new-secret"]
    connection.save()
    third = BODY.replace(b"a-1", b"a-3")
    assert signing.send(connection, third, signing.plain(third, "old-secret")).status_code == 401


def test_several_signatures_of_one_call_are_all_looked_at(connection: Connection) -> None:
    headers = signing.standard(BODY)
    headers["webhook-signature"] = f"v1,{'A' * 43}= v2,zzz {headers['webhook-signature']}"
    assert signing.send(connection, BODY, headers).status_code == 200


def test_a_connection_without_secrets_takes_nothing() -> None:
    for secrets in ([], [""]):
        connection = factories.connection(webhook_secrets=secrets)
        assert signing.send(connection, BODY, signing.plain(BODY, "")).status_code == 401
    assert not InboundEvent.objects.exists()


def test_an_unknown_address_answers_like_a_wrong_signature(connection: Connection) -> None:
    wrong = signing.send(connection, BODY, signing.plain(BODY, "wrong"))
    unknown = signing.send("no-such-connection", BODY, signing.plain(BODY))
    assert (unknown.status_code, unknown.content) == (wrong.status_code, wrong.content) == (401, wrong.content)
    assert ("unknown", "bad_signature", 1) in refusals()


def test_another_connections_secret_does_not_fit(connection: Connection) -> None:
    other = factories.connection(webhook_secrets=["others-secret"])
    assert signing.send(other, BODY, signing.plain(BODY)).status_code == 401
    assert not InboundEvent.objects.exists()


@pytest.mark.parametrize("method", ["get", "delete", "patch"])
def test_only_post_and_put_are_answered(connection: Connection, method: str) -> None:
    assert signing.send(connection, BODY, method=method).status_code == 405
    assert not InboundEvent.objects.exists()


def test_put_with_the_resource_in_the_address_is_taken(connection: Connection) -> None:
    assert signing.send(connection, BODY, method="put", path="Appointment/a-1").status_code == 200
    assert InboundEvent.objects.get().subject_key == "Appointment/a-1"
