"""What a FHIR server's answer to a write says it stored."""

from __future__ import annotations

from integrations.ehr.fhir.answers import ID, Answer
from integrations.ehr.fhir.elements import Json
from integrations.ehr.gateway import Malformed, OutcomeUnknown, Stored


def stored(answer: Answer, resource_type: str = "Appointment") -> Stored:
    """Return what a successful create says it stored; raises OutcomeUnknown when it does not say."""
    resource = _resource_in(answer, resource_type)
    external_id = resource.get("id") if resource else answer.located_id(resource_type)
    if not isinstance(external_id, str) or not ID.fullmatch(external_id):
        raise OutcomeUnknown("The EHR accepted it without saying which one it is.", status=answer.status)
    return Stored(external_id, stored_version(answer, resource_type))


def stored_version(answer: Answer, resource_type: str = "Appointment") -> str:
    """Return the version a write left, empty where the answer does not say."""
    resource = _resource_in(answer, resource_type)
    meta = resource.get("meta") if resource else None
    given = meta.get("versionId") if isinstance(meta, dict) else None
    return given if isinstance(given, str) else answer.etag_version


def _resource_in(answer: Answer, resource_type: str) -> Json | None:
    """Return the resource of this type in the body; None for an empty one or an OperationOutcome.

    Raises OutcomeUnknown for HTML and other bodies that no FHIR server sends: who knows what answered.
    """
    if not answer.body.strip():
        return None
    try:
        resource = answer.resource()
    except Malformed as problem:
        raise OutcomeUnknown(problem.detail, status=answer.status) from None
    return resource if resource["resourceType"] == resource_type else None
