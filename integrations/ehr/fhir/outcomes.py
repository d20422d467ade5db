"""From what a FHIR server answered to our named errors.

Status alone does not say what happened: 409 is "taken", "changed meanwhile", "done already" or "locked just now", and
only the OperationOutcome's code tells. A failed write is certain only when the server said so in words that leave no
doubt.
Diagnostics may quote a patient, so nothing of them reaches an error's text.
"""

from __future__ import annotations

from typing import Any

from integrations.ehr.fhir.answers import Answer
from integrations.ehr.gateway import (
    Duplicate,
    GatewayError,
    LoginRefused,
    Malformed,
    NotFound,
    OutcomeUnknown,
    Refused,
    Rejected,
    StaleVersion,
    Taken,
    Throttled,
    Unavailable,
)

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DONE_BEFORE = frozenset({"duplicate", "multiple-matches"})
#: The EHR's own trouble of the moment, whatever the status says: nothing was done, and it may work in a while.
_PASSING = frozenset({"lock-error", "transient", "throttled", "timeout"})


def error_of(method: str, answer: Answer) -> GatewayError | None:
    """Return the error that ``answer`` to a request of ``method`` stands for, None for success."""
    status = answer.status
    if 200 <= status < 300:
        return None
    codes = outcome_codes(answer)
    code = codes[0] if codes else ""
    detail = f"HTTP {status} {code}".strip()
    if status == 429:
        return Throttled(detail, retry_at=answer.retry_at, status=status)
    if 300 <= status < 400:
        return Refused("The EHR answered with a redirect, which we do not follow.", status=status)
    if status in (401, 403):
        return LoginRefused(detail, status=status, outcome_code=code)
    kind = _write_error(method, status, codes) if method in WRITES else _read_error(status, answer)
    if kind is Throttled:
        return Throttled(detail, retry_at=answer.retry_at, status=status)
    return kind(detail, status=status, outcome_code=code)


def _read_error(status: int, answer: Answer) -> type[GatewayError]:
    if status in (404, 410):
        return NotFound
    if status == 503 and answer.retry_at is not None:
        return Throttled
    if status >= 500 or status in (408, 423, 425):
        return Unavailable
    return Rejected


def _write_error(method: str, status: int, codes: list[str]) -> type[GatewayError]:
    if status == 501:
        return Rejected
    if status >= 500 or status == 408:
        # A gateway in between may have given up while the EHR went on.
        return OutcomeUnknown
    if status in (423, 425):
        return Unavailable
    if status in (409, 412, 428):
        if _DONE_BEFORE.intersection(codes):
            return Duplicate
        if _PASSING.intersection(codes):
            return Unavailable
        if method == "POST" and status == 412 and "conflict" not in codes:
            return Duplicate  # a conditional create that met several of its own
        return Taken if method == "POST" else StaleVersion
    if status in (404, 410) and method != "POST":
        return NotFound
    return Rejected


def outcome_codes(answer: Answer) -> list[str]:
    """Return the issue codes of the answer's OperationOutcome, errors first; empty for any other body."""
    if answer.body.lstrip()[:1] != b"{":
        return []
    try:
        resource = answer.resource()
    except Malformed:
        return []
    return issue_codes(resource)


def issue_codes(resource: dict[str, Any]) -> list[str]:
    """Return the issue codes of an OperationOutcome, those of errors first."""
    if resource.get("resourceType") != "OperationOutcome" or not isinstance(resource.get("issue"), list):
        return []
    issues = [issue for issue in resource["issue"] if isinstance(issue, dict)]
    issues.sort(key=lambda issue: issue.get("severity") not in ("fatal", "error"))
    return [str(issue["code"])[:40] for issue in issues if isinstance(issue.get("code"), str)]
