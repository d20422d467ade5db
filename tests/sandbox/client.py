"""A plain FHIR client for these tests: no retries, no cleverness."""

from typing import Any

import requests

from integrations.ehr.sandbox.server import SandboxServer

CLIENT_ID, CLIENT_SECRET = "sandbox-client", "a secret for tests"
Json = dict[str, Any]


class FhirClient:
    def __init__(self, origin: str, scope: str = "") -> None:
        """``scope``: what each search by ``all`` says besides, as ``name=value``."""
        self.origin, self.base, self.scope = origin, f"{origin}/fhir", scope
        self.session = requests.Session()
        self.log_in()

    def log_in(self) -> None:
        answer = requests.post(
            f"{self.origin}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(CLIENT_ID, CLIENT_SECRET),
            timeout=10,
        )
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.base}/{path}"
        return self.session.request(method, url, timeout=options.pop("timeout", 20), **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def create(self, resource: Json, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", resource["resourceType"], json=resource, headers=named)

    def patch(self, path: str, operations: list[Json], version: int | None = None) -> requests.Response:
        headers = {"Content-Type": "application/json-patch+json"}
        if version is not None:
            headers["If-Match"] = f'W/"{version}"'
        return self.call("PATCH", path, json=operations, headers=headers)

    def all(self, path: str) -> list[Json]:
        """Every match, page by page."""
        found: list[Json] = []
        link: str | None = f"{path}{'&' if '?' in path else '?'}{self.scope}" if self.scope else path
        while link:
            bundle = self.get(link).json()
            found += [entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]
            link = next((item["url"] for item in bundle["link"] if item["relation"] == "next"), None)
        return found

    def control(self, method: str, path: str, body: Json | None = None) -> requests.Response:
        return requests.request(method, f"{self.origin}/_sandbox/{path}", json=body, timeout=20)

    def fault(self, kind: str, **details: Any) -> None:
        answer = self.control("POST", "faults", {"kind": kind, **details})
        assert answer.status_code == 200, answer.text

    def free_slots(self, practitioner: str = "chen") -> list[Json]:
        path = f"Slot?status=free&start=ge2026-03-05&schedule.actor=Practitioner/{practitioner}&_sort=start"
        return self.all(path)


def client_of(server: SandboxServer) -> FhirClient:
    return FhirClient(server.origin)


def appointment(slot: Json, patient: str = "patient-050", practitioner: str = "chen", **more: Any) -> Json:
    """A booking of one slot, as the smallest complete Appointment."""
    actors = [f"Patient/{patient}", f"Practitioner/{practitioner}"]
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "start": slot["start"],
        "end": slot["end"],
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "participant": [{"actor": {"reference": actor}, "status": "accepted"} for actor in actors],
        **more,
    }


def issue_code(answer: requests.Response) -> str:
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["details"]["text"]
    return str(outcome["issue"][0]["code"])
