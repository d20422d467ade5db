"""An EHR's address cannot be used to reach this machine, its neighbours or a cloud's metadata."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from integrations.ehr import addresses
from integrations.ehr.fhir import connecting
from integrations.ehr.gateway import Refused, Unavailable, connect
from integrations.models import ApiCall, Connection
from tests import factories


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # metadata of most clouds
        "100.100.100.200",  # metadata in the shared range
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_the_open_internet(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.216.34",
        "2606:2800:220:1:248:1893:25c8:1946",
        "64:ff9b::808:808",  # from here on IPv4 in other clothes
        "::ffff:8.8.8.8",
        "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
    ],
)
def test_addresses_that_are(address: str) -> None:
    assert addresses.is_public(address)


@pytest.fixture
def strict(settings: Any) -> None:
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the resolver says; each answer is given once, the last one from then on."""
    said: dict[str, list[str]] = {}

    def resolve(host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        answers = said.get(host, [host])
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", resolve)
    return said


def connection_to(url: str) -> Connection:
    connecting._sessions.clear()
    return factories.connection(base_url=url, token_url=f"{url}/token")


@pytest.mark.django_db
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "metadata.example.org"])
def test_no_socket_is_opened_to_a_forbidden_address(
    httpserver: HTTPServer, names: dict[str, list[str]], host: str
) -> None:
    for name, address in (
        ("localhost", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("metadata.example.org", "169.254.169.254"),
    ):
        names[name] = [address]
    connection = connection_to(f"http://{host}:{httpserver.port}/fhir")
    with pytest.raises(Refused):
        connect(connection).fetch("location", "elm")
    assert httpserver.log == []
    assert ApiCall.objects.get().result == "refused_by_us"


@pytest.mark.django_db
def test_a_name_that_points_elsewhere_the_second_time_is_judged_each_time(
    httpserver: HTTPServer, names: dict[str, list[str]], settings: Any
) -> None:
    """The socket goes to the very address that was judged; there is no second look-up in between."""
    httpserver.expect_request("/fhir/token").respond_with_json({"access_token": "t"})
    httpserver.expect_request("/fhir/Location/elm").respond_with_json({"resourceType": "Location", "id": "elm"})
    names["ehr.example.org"] = ["127.0.0.1"]
    connection = connection_to(f"http://ehr.example.org:{httpserver.port}/fhir")
    assert connect(connection).fetch("location", "elm").external_id == "elm"

    settings.EHR_ALLOW_PRIVATE_ADDRESSES = False
    names["rebound.example.org"] = ["8.8.8.8", "127.0.0.1"]
    reached: list[tuple[str, int]] = []

    def note(address: tuple[str, int], timeout: float) -> socket.socket:
        reached.append(address)
        raise OSError("nobody there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connecting.socket, "create_connection", note)
        connection = connection_to(f"http://rebound.example.org:{httpserver.port}/fhir")
        with pytest.raises(Unavailable):
            connect(connection).fetch("location", "elm")
    assert reached == [("8.8.8.8", httpserver.port)]


@pytest.mark.django_db
def test_a_resolver_that_says_nothing_does_not_hold_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    never = threading.Event()
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *a, **k: [][: never.wait(5)])
    with pytest.raises(Unavailable):
        addresses.resolve("slow.example.org", 443, 0.05)
    never.set()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        "ftp://ehr.example.org/fhir",
        "http://user:password@ehr.example.org/fhir",
        "http:///fhir",
        "http://ehr:99999/fhir",
    ],
)
def test_an_address_that_is_no_web_address_is_refused(url: str) -> None:
    connection = factories.connection(base_url=url)
    with pytest.raises(Refused):
        connect(connection)
