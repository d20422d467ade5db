"""Logins without a shared secret: signed by a key whose public half the EHR fetches from us, changed without a gap."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from django.test import Client
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from integrations.ehr import signing_keys
from integrations.ehr.fhir import auth
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import LoginRefused
from integrations.models import Connection, SigningKey
from tests import factories

pytestmark = pytest.mark.django_db


class Ehr:
    """A token endpoint that keeps what logins sent; :meth:`verified` judges them as an EHR does, by our key set."""

    def __init__(self, server: HTTPServer, slug: str) -> None:
        self.url = server.url_for("/fhir")
        self.token_url = server.url_for("/token")
        self.slug = slug
        self.forms: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []
        server.expect_request("/token", method="POST").respond_with_handler(self.login)
        server.expect_request("/fhir/Location/elm").respond_with_json({"resourceType": "Location", "id": "elm"})

    def login(self, request: Request) -> Response:
        self.forms.append(parse_qs(request.get_data(as_text=True)))
        self.headers.append(dict(request.headers))
        return Response(json.dumps({"access_token": "t" * 20, "expires_in": 300}), content_type="application/json")

    def verified(self) -> list[dict[str, Any]]:
        """The claims of all assertions so far, each verified by the published key its header names."""
        return [self._verified(form["client_assertion"][0]) for form in self.forms]

    def _verified(self, assertion: str) -> dict[str, Any]:
        kid = jwt.get_unverified_header(assertion)["kid"]
        (key,) = [each for each in published(self.slug)["keys"] if each["kid"] == kid]
        claims = jwt.decode(
            assertion, jwt.PyJWK(key).key, algorithms=[key["alg"]], audience=self.token_url, issuer="sooner"
        )
        return {**claims, "kid": kid, "alg": key["alg"]}


def published(slug: str) -> dict[str, Any]:
    answer = Client().get(f"/ehr/{slug}/jwks.json")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/jwk-set+json"
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def ehr(httpserver: HTTPServer, settings: Any) -> Ehr:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    return Ehr(httpserver, "elm")


def connect(ehr: Ehr, **fields: Any) -> Connection:
    return factories.connection("elm", base_url=ehr.url, token_url=ehr.token_url, **fields)


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_the_ehr_verifies_us_by_the_key_set_it_fetches(ehr: Ehr, algorithm: str) -> None:
    connection = connect(ehr, login_method="signed", client_secret="")
    key = signing_keys.ensure(connection, algorithm)
    Transport(connection).read("Location/elm")
    (claims,) = ehr.verified()
    assert (claims["sub"], claims["alg"], claims["kid"]) == ("sooner", algorithm, key.kid)
    assert 0 < claims["exp"] - timezone.now().timestamp() <= 300
    assert "Authorization" not in ehr.headers[0]
    assert ehr.forms[0]["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]


def test_each_login_has_an_id_of_its_own(ehr: Ehr) -> None:
    connection = connect(ehr, login_method="signed")
    signing_keys.ensure(connection)
    for _ in range(2):
        Transport(connection).read("Location/elm")
        auth.forget_token(connection.pk)
    assert len({claims["jti"] for claims in ehr.verified()}) == 2


def test_without_a_key_nothing_is_sent_and_the_error_says_what_to_do(ehr: Ehr) -> None:
    connection = connect(ehr, login_method="signed")
    with pytest.raises(LoginRefused, match="no signing key"):
        Transport(connection).read("Location/elm")
    assert ehr.forms == []


def test_a_secret_in_the_form_is_not_in_the_header(ehr: Ehr) -> None:
    connection = connect(ehr, login_method="secret_post")
    Transport(connection).read("Location/elm")
    assert ehr.forms[0]["client_id"] == ["sooner"]
    assert ehr.forms[0]["client_secret"] == ["not-a-secret"]
    assert "Authorization" not in ehr.headers[0]


def test_without_a_login_no_token_is_asked_for_and_none_is_sent(ehr: Ehr, httpserver: HTTPServer) -> None:
    connection = connect(ehr, login_method="none")
    Transport(connection).read("Location/elm")
    assert ehr.forms == []
    ((request, _),) = httpserver.log
    assert "Authorization" not in request.headers


def test_a_new_key_is_published_before_it_signs_and_the_old_one_after_it_did(ehr: Ehr) -> None:
    connection = connect(ehr, login_method="signed")
    start = timezone.now()
    old = signing_keys.ensure(connection, "RS384", start)
    new = signing_keys.rotate(connection, now=start)

    def kids(after: timedelta) -> list[str]:
        return [key["kid"] for key in signing_keys.key_set(connection, start + after)["keys"]]

    assert new.algorithm == "RS384"
    assert [key["kid"] for key in published("elm")["keys"]] == [new.kid, old.kid]
    assert signing_keys.current(connection, start + timedelta(hours=23)) == old
    assert signing_keys.current(connection, start + timedelta(hours=24)) == new
    assert kids(timedelta(hours=24, minutes=59)) == [new.kid, old.kid]
    assert kids(timedelta(hours=25)) == [new.kid]


def test_a_rotation_under_way_is_not_begun_again(ehr: Ehr) -> None:
    connection = connect(ehr, login_method="signed")
    signing_keys.ensure(connection)
    assert signing_keys.rotate(connection) == signing_keys.rotate(connection)
    assert SigningKey.objects.count() == 2


def test_the_key_set_shows_nothing_private(ehr: Ehr) -> None:
    connection = connect(ehr, login_method="signed")
    for algorithm in ("RS384", "ES384"):
        SigningKey.objects.all().delete()
        signing_keys.ensure(connection, algorithm)
        (key,) = published("elm")["keys"]
        assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)
        assert (key["use"], key["key_ops"], key["alg"]) == ("sig", ["verify"], algorithm)


def test_an_unknown_connection_has_no_key_set() -> None:
    assert Client().get("/ehr/nobody/jwks.json").status_code == 404
