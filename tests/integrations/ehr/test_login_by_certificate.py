"""Mutual TLS: the EHR asks for our certificate and gets it; another one, or none, is not let in."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone
from pytest_httpserver import HTTPServer

from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Refused, Unavailable
from integrations.models import Connection
from tests import factories

pytestmark = pytest.mark.django_db


class Authority:
    """A certificate authority of its own."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.certificate = self._sign(self.name, self.key, is_authority=True)

    def issue(self, name: str) -> tuple[str, str]:
        """Return certificate and key, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _pem(self._sign(_name(name), key)), _key_pem(key)

    def _sign(self, subject: x509.Name, key: Any, *, is_authority: bool = False) -> x509.Certificate:
        now = timezone.now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: Any) -> str:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("The EHR's authority")


@pytest.fixture
def ehr(authority: Authority, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """An EHR over TLS that takes calls only from those who show a certificate of its authority."""
    settings.EHR_ALLOW_PRIVATE_ADDRESSES = True
    certificate, key = authority.issue("localhost")
    own, trusted = tmp_path / "ehr.pem", tmp_path / "authority.pem"
    own.write_text(certificate + key)
    trusted.write_text(_pem(authority.certificate))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    server = HTTPServer(host="localhost", ssl_context=context)
    server.start()
    server.expect_request("/fhir/Location/elm").respond_with_json({"resourceType": "Location", "id": "elm"})
    yield server
    server.stop()


def connect(ehr: HTTPServer, certificate: str = "", key: str = "") -> Connection:
    return factories.connection(
        base_url=ehr.url_for("/fhir"),
        login_method="none",
        client_certificate=certificate,
        client_certificate_key=key,
    )


def test_who_shows_the_right_certificate_is_let_in(ehr: HTTPServer, authority: Authority) -> None:
    answer = Transport(connect(ehr, *authority.issue("sooner"))).read("Location/elm")
    assert answer.resource()["id"] == "elm"


def test_without_a_certificate_nobody_is_let_in(ehr: HTTPServer) -> None:
    with pytest.raises(Unavailable):
        Transport(connect(ehr)).read("Location/elm")
    assert ehr.log == []


def test_a_certificate_of_somebody_else_is_not_let_in(ehr: HTTPServer) -> None:
    with pytest.raises(Unavailable):
        Transport(connect(ehr, *Authority("Somebody else").issue("sooner"))).read("Location/elm")
    assert ehr.log == []


def test_a_certificate_with_the_wrong_key_says_so(ehr: HTTPServer, authority: Authority) -> None:
    certificate, _ = authority.issue("sooner")
    _, other_key = authority.issue("sooner")
    with pytest.raises(Refused, match="not a pair"):
        Transport(connect(ehr, certificate, other_key)).read("Location/elm")


def test_a_changed_certificate_is_used_at_the_next_call(ehr: HTTPServer, authority: Authority) -> None:
    connection = connect(ehr, *Authority("Somebody else").issue("sooner"))
    with pytest.raises(Unavailable):
        Transport(connection).read("Location/elm")
    connection.client_certificate, connection.client_certificate_key = authority.issue("sooner")
    connection.quiet_until = None
    connection.save()
    assert Transport(connection).read("Location/elm").resource()["id"] == "elm"
