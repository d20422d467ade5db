"""https, and with an authority given only for clients who show a certificate of it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from integrations.ehr.sandbox.server import SandboxServer
from integrations.ehr.sandbox.settings import SandboxSettings
from tests.sandbox.certificates import Authority
from tests.sandbox.client import CLIENT_ID, CLIENT_SECRET


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def settings_of_sandbox(settings_of_sandbox: SandboxSettings, authority: Authority) -> SandboxSettings:
    settings_of_sandbox.certificate = str(authority.issue("ehr"))
    return settings_of_sandbox


@pytest.fixture
def mutual(settings_of_sandbox: SandboxSettings, authority: Authority) -> Iterator[SandboxServer]:
    settings_of_sandbox.client_ca = str(authority.path)
    with SandboxServer(settings_of_sandbox) as server:
        yield server


def test_everything_is_https_also_what_the_server_says_of_itself(server: SandboxServer, authority: Authority) -> None:
    assert server.base_url == f"https://127.0.0.1:{server.port}/fhir"
    session = requests.Session()
    session.trust_env = False  # else REQUESTS_CA_BUNDLE of the environment wins
    session.verify = str(authority.path)
    found = session.get(f"{server.base_url}/.well-known/smart-configuration", timeout=10).json()
    assert found["token_endpoint"] == f"{server.origin}/oauth/token"
    form = {"grant_type": "client_credentials"}
    token = session.post(found["token_endpoint"], data=form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10).json()
    session.headers["Authorization"] = f"Bearer {token['access_token']}"
    page = session.get(f"{server.base_url}/Patient?_count=1", timeout=10).json()
    assert page["link"][1]["url"].startswith(f"{server.base_url}/Patient?")


def test_a_client_that_never_finishes_its_handshake_holds_up_nobody(
    server: SandboxServer, authority: Authority
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        answer = requests.get(f"{server.base_url}/metadata", verify=str(authority.path), timeout=5)
    assert answer.status_code == 200


def test_a_reset_is_a_reset_under_tls_too(server: SandboxServer, authority: Authority) -> None:
    control = f"{server.origin}/_sandbox/faults"
    requests.post(control, json={"kind": "reset-before"}, verify=str(authority.path), timeout=5)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.base_url}/metadata", verify=str(authority.path), timeout=5)
    assert requests.get(f"{server.base_url}/metadata", verify=str(authority.path), timeout=5).status_code == 200


def test_who_shows_a_certificate_of_the_authority_is_let_in(mutual: SandboxServer, authority: Authority) -> None:
    answer = requests.get(
        f"{mutual.base_url}/metadata", verify=str(authority.path), cert=str(authority.issue("client")), timeout=5
    )
    assert answer.status_code == 200


def test_without_one_or_with_a_strangers_nobody_is(mutual: SandboxServer, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").issue("client")
    for certificate in (None, str(stranger)):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{mutual.base_url}/metadata", verify=str(authority.path), cert=certificate, timeout=5)
    assert list(mutual.application.log) == []
