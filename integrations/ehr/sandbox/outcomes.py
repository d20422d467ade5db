"""Errors as FHIR clients get them: an OperationOutcome with a status."""

from __future__ import annotations

from typing import Any


def operation_outcome(code: str, text: str, severity: str = "error", expression: str = "") -> dict[str, Any]:
    """An OperationOutcome with one issue; ``code`` comes from http://hl7.org/fhir/ValueSet/issue-type."""
    issue: dict[str, Any] = {"severity": severity, "code": code, "details": {"text": text}, "diagnostics": text}
    if expression:
        issue["expression"] = [expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


class FhirError(Exception):
    """A refused request. ``code`` is the issue type, ``expression`` the element at fault."""

    def __init__(
        self, status: int, code: str, text: str, *, expression: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}
        self.outcome = operation_outcome(code, text, expression=expression)


def unprocessable(text: str, expression: str = "", code: str = "invalid") -> FhirError:
    """422: well-formed, but against a rule."""
    return FhirError(422, code, text, expression=expression)


def not_found(resource_type: str, resource_id: str) -> FhirError:
    return FhirError(404, "not-found", f"{resource_type}/{resource_id} is not known here.")


def slot_taken() -> FhirError:
    return FhirError(409, "conflict", "The slot is no longer available.")
