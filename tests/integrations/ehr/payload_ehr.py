"""An EHR that answers with payloads other people wrote, word for word."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from integrations.models import Connection
from tests import factories

PAYLOADS = Path(os.environ.get("PAYLOADS", Path(__file__).parents[3].parent / "shared" / "payloads"))
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="../shared/payloads is absent")

STATEMENT = {
    "resourceType": "CapabilityStatement",
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "Appointment",
                    "interaction": [{"code": code} for code in ("read", "search-type")],
                    "searchParam": [{"name": "_lastUpdated", "type": "date"}],
                }
            ],
        }
    ],
}


def payload(name: str) -> bytes:
    """The bytes of a payload such as ``fhir-r4/Slot-1.json``."""
    return (PAYLOADS / name).read_bytes()


class PayloadEhr:
    """Serves every official example under its own id, and ``page`` as the answer to a search for changes."""

    def __init__(self, server: HTTPServer) -> None:
        self.page: bytes = b""
        self.page_status = 200
        self.by_identifier: list[dict[str, Any]] = []
        self._resources = dict(_examples())
        server.expect_request("/token").respond_with_json({"access_token": "token", "expires_in": 600})
        server.expect_request("/fhir/metadata").respond_with_json(STATEMENT)
        server.expect_request("/fhir/Appointment", method="GET").respond_with_handler(self._search)
        server.expect_request(_everything(), method="GET").respond_with_handler(self._fetch)
        self._server = server

    def connect(self) -> Connection:
        """Our connection to it, as if loaded."""
        now = timezone.now()
        base, token = self._server.url_for("/fhir"), self._server.url_for("/token")
        return factories.connection(base_url=base, token_url=token, loaded_at=now, cursor=now)

    def add(self, resource: dict[str, Any]) -> None:
        """Hold one more resource."""
        self._resources[f"/fhir/{resource['resourceType']}/{resource['id']}"] = json.dumps(resource).encode()

    def _search(self, request: Request) -> Response:
        if "identifier" in request.args:
            entries = [{"resource": each} for each in self.by_identifier]
            return _json(json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries}).encode())
        return _json(self.page, self.page_status)

    def _fetch(self, request: Request) -> Response:
        body = self._resources.get(request.path)
        return _json(body) if body is not None else _json(b'{"resourceType": "OperationOutcome", "issue": []}', 404)


@lru_cache
def _examples() -> dict[str, bytes]:
    found = {}
    for path in sorted((PAYLOADS / "fhir-r4").glob("*.json")):
        resource = json.loads(path.read_bytes())
        found[f"/fhir/{resource['resourceType']}/{resource.get('id')}"] = path.read_bytes()
    return found


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status=status, content_type="application/fhir+json")


def _everything() -> re.Pattern[str]:
    return re.compile(r"/fhir/[A-Za-z]+/[^/]+")


def as_page(body: bytes) -> bytes:
    """A search result with the resource as its only entry, or the Bundle as it is."""
    if json.loads(body).get("resourceType") == "Bundle":
        return body
    return b'{"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": ' + body + b"}]}"
