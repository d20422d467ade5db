"""Logins by private_key_jwt: keys given or fetched, changed while rotating, and every claim checked."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pytest_httpserver import HTTPServer
from werkzeug import Response

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.client import CLIENT_ID, CLIENT_SECRET, Json

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Key:
    """A key pair of the client's."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm, self.kid = algorithm, uuid.uuid4().hex
        if algorithm == "ES384":
            self.private: Any = ec.generate_private_key(ec.SECP384R1())
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    @property
    def public(self) -> Json:
        jwk = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key())
        return {**json.loads(jwk), "kid": self.kid, "alg": self.algorithm, "use": "sig"}


@pytest.fixture(scope="module")
def rsa_key() -> Key:
    return Key("RS384")


@pytest.fixture(scope="module")
def ec_key() -> Key:
    return Key("ES384")


@pytest.fixture
def server(settings_of_sandbox: SandboxSettings, rsa_key: Key, ec_key: Key) -> Iterator[SandboxServer]:
    settings_of_sandbox.client_keys = {"keys": [rsa_key.public, ec_key.public]}
    with SandboxServer(settings_of_sandbox) as running:
        yield running


def ask(server: SandboxServer, key: Key, header: Json | None = None, **claims: Any) -> requests.Response:
    """Ask for a token; a claim that is None is left out."""
    usual = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": f"{server.origin}/oauth/token",
        "exp": int(time.time()) + 240,
        "jti": uuid.uuid4().hex,
    }
    kept = {name: value for name, value in (usual | claims).items() if value is not None}
    assertion = jwt.encode(kept, key.private, key.algorithm, {"kid": key.kid} | (header or {}))
    return send(server, assertion)


def send(server: SandboxServer, assertion: str, **more: str) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        **more,
    }
    return requests.post(f"{server.origin}/oauth/token", data=form, timeout=10)


def refused(answer: requests.Response) -> bool:
    return (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_both_algorithms_give_a_token_that_opens_the_door(server: SandboxServer, rsa_key: Key, ec_key: Key) -> None:
    for key in (rsa_key, ec_key):
        answer = ask(server, key)
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert requests.get(f"{server.base_url}/Patient/patient-001", headers=headers, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"iss": "somebody", "sub": "somebody"},
        {"aud": "https://other-ehr.example.org/oauth/token"},
        {"aud": None},
        {"exp": None},
        {"exp": int(time.time()) - 10},
        {"exp": int(time.time()) + 3600},
        {"jti": None},
    ],
)
def test_every_claim_is_checked(server: SandboxServer, ec_key: Key, claims: Json) -> None:
    assert refused(ask(server, ec_key, **claims))


def test_a_jti_is_good_once(server: SandboxServer, ec_key: Key) -> None:
    jti = uuid.uuid4().hex
    assert ask(server, ec_key, jti=jti).status_code == 200
    again = ask(server, ec_key, jti=jti)
    assert refused(again)
    assert again.json()["error_description"] == "This jti was used before."


def test_a_key_that_is_not_registered_is_refused_also_under_a_known_id(server: SandboxServer, ec_key: Key) -> None:
    stranger = Key("ES384")
    assert refused(ask(server, stranger))
    stranger.kid = ec_key.kid
    assert refused(ask(server, stranger))


def test_a_key_of_the_other_kind_is_refused(server: SandboxServer, ec_key: Key, rsa_key: Key) -> None:
    assert refused(ask(server, ec_key, header={"kid": rsa_key.kid}))


def test_the_secret_as_a_signing_key_and_no_signature_are_refused(server: SandboxServer, ec_key: Key) -> None:
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": f"{server.origin}/oauth/token", "exp": time.time() + 60}
    for key, algorithm in (("a secret that is long enough for HMAC" * 2, "HS384"), (None, "none")):
        answer = send(server, jwt.encode(claims | {"jti": "1"}, key, algorithm, {"kid": ec_key.kid}))  # type: ignore[arg-type]
        assert refused(answer)
        assert answer.json()["error_description"] == "alg must be one of RS384, ES384."


@pytest.mark.parametrize("assertion", ["", "not a token", "a.b.c", "ä.ö.ü"])
def test_what_is_no_assertion_is_refused(server: SandboxServer, assertion: str) -> None:
    assert refused(send(server, assertion))


def test_another_client_id_beside_the_assertion_is_refused(server: SandboxServer, ec_key: Key) -> None:
    claims = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": f"{server.origin}/oauth/token",
        "exp": int(time.time()) + 60,
        "jti": uuid.uuid4().hex,
    }
    assertion = jwt.encode(claims, ec_key.private, "ES384", {"kid": ec_key.kid})
    assert refused(send(server, assertion, client_id="somebody"))
    assert send(server, assertion, client_id=CLIENT_ID).status_code == 200


def test_keys_are_fetched_and_a_new_one_is_found_while_rotating(
    settings_of_sandbox: SandboxSettings, httpserver: HTTPServer, rsa_key: Key, ec_key: Key
) -> None:
    published = {"keys": [rsa_key.public]}
    httpserver.expect_request("/jwks.json").respond_with_handler(
        lambda request: Response(json.dumps(published), content_type="application/json")
    )
    settings_of_sandbox.client_keys_url = httpserver.url_for("/jwks.json")
    with SandboxServer(settings_of_sandbox) as server:
        assert ask(server, rsa_key).status_code == 200
        assert ask(server, rsa_key).status_code == 200
        assert len(httpserver.log) == 1
        assert refused(ask(server, ec_key))
        published["keys"] = [ec_key.public, rsa_key.public]
        assert ask(server, ec_key).status_code == 200
        assert ask(server, rsa_key).status_code == 200
    assert len(httpserver.log) == 3


def test_keys_that_cannot_be_fetched_let_nobody_in(settings_of_sandbox: SandboxSettings, ec_key: Key) -> None:
    settings_of_sandbox.client_keys_url = "http://127.0.0.1:9/jwks.json"
    with SandboxServer(settings_of_sandbox) as server:
        answer = ask(server, ec_key)
        assert refused(answer)
        assert answer.json()["error_description"] == "The client's key set cannot be fetched."


@pytest.mark.parametrize(
    ("has_secret", "has_keys", "methods"),
    [
        (True, False, ["client_secret_basic", "client_secret_post"]),
        (False, True, ["private_key_jwt"]),
        (True, True, ["client_secret_basic", "client_secret_post", "private_key_jwt"]),
    ],
)
def test_discovery_names_the_logins_there_are(
    settings_of_sandbox: SandboxSettings, ec_key: Key, has_secret: bool, has_keys: bool, methods: list[str]
) -> None:
    settings_of_sandbox.client_secret = CLIENT_SECRET if has_secret else ""
    settings_of_sandbox.client_keys = {"keys": [ec_key.public]} if has_keys else None
    with SandboxServer(settings_of_sandbox) as server:
        found = requests.get(f"{server.base_url}/.well-known/smart-configuration", timeout=10).json()
        by_secret = requests.post(
            found["token_endpoint"],
            data={"grant_type": "client_credentials"},
            auth=(CLIENT_ID, settings_of_sandbox.client_secret),
            timeout=10,
        )
        assert found["token_endpoint_auth_methods_supported"] == methods
        assert found.get("token_endpoint_auth_signing_alg_values_supported") == (
            ["RS384", "ES384"] if has_keys else None
        )
        assert by_secret.status_code == (200 if has_secret else 401)
        assert ask(server, ec_key).status_code == (200 if has_keys else 401)
