"""Where EHRs call us: the raw bytes are verified, stored and acknowledged. Nothing is interpreted here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.context import source_address
from integrations import bearer, known_senders, refusals, signatures
from integrations.ehr import intake
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.hl7v2 import messages
from integrations.models import Connection, InboundEvent
from integrations.safe_json import NotJson, read_json

#: Senders name a deleted resource in a header and send an empty object.
DELETED = ("X-Deleted-Resource", "X-Medplum-Deleted-Resource")
_UNKNOWN = "unknown"


class Refused(Exception):
    """The call is not taken: with which status, counted for which reason, and what the sender can do about it.

    ``acknowledgement`` is the answer in the sender's own format, empty where it has none.
    """

    def __init__(self, status: int, reason: str, detail: str, acknowledgement: bytes = b"") -> None:
        super().__init__(reason)
        self.status, self.reason, self.detail, self.acknowledgement = status, reason, detail, acknowledgement


class EhrWebhook(APIView):
    """``POST`` or ``PUT /webhooks/ehr/<slug>/``: a signed notification of an EHR. 200 means that it is stored.

    ``PUT /webhooks/ehr/<slug>/Appointment/123`` is how some R4 servers send a resource. An HL7 v2 message about a
    patient or an appointment, as its content type or its first segment says, is acknowledged in HL7 v2.
    """

    authentication_classes = ()
    permission_classes = ()
    http_method_names = ["post", "put"]

    def post(self, request: Request, slug: str, named: str = "") -> HttpResponse:
        """Take a notification."""
        try:
            receipt = take(request._request, slug, named)
        except Refused as refused:
            return refusal(refused)
        if receipt.acknowledgement:
            return HttpResponse(receipt.acknowledgement, content_type=messages.CONTENT_TYPE)
        return Response({"status": "stored" if receipt.is_new else "known"})

    put = post


def take(request: HttpRequest, slug: str, named: str) -> intake.Receipt:
    """Verify and store a call; raises Refused."""
    connection: Connection | None = None
    try:
        body = _read_body(request)
        connection = known_senders.sender(slug)
        event_id = _verified(request, body, connection)
        if connection is None:  # never verified without secrets; said once more for the reader and the type
            raise Refused(HTTPStatus.UNAUTHORIZED, "unknown_connection", "")
        is_hl7 = messages.is_message(body, request.headers.get("Content-Type", ""))
        if is_hl7:
            reading = messages.Reading.of(connection)
            acknowledgement, message_id = _expected(body, reading)
        payload = {} if is_hl7 else _parsed(body)
    except Refused as refused:
        refusals.count(connection.slug if connection else _UNKNOWN, refused.reason)
        raise
    if is_hl7:
        receipt = intake.receive(
            connection,
            via=InboundEvent.Via.WEBHOOK,
            body=body,
            payload=payload,
            content_type=messages.CONTENT_TYPE,
            event_id=message_id,
            subject_key=messages.subject_key(body, reading, own_ids=_own_ids(connection)),
        )
        return replace(receipt, acknowledgement=acknowledgement)
    return intake.receive(
        connection,
        via=InboundEvent.Via.WEBHOOK,
        body=body,
        payload=payload,
        content_type=request.headers.get("Content-Type", ""),
        event_id=event_id,
        subject_key=_subject(request.headers, payload, named),
    )


def _read_body(request: HttpRequest) -> bytes:
    """Return the body, never more of it than we take, whatever its announced length says."""
    limit = settings.WEBHOOK_MAX_BYTES
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if announced.isascii() and announced.isdigit() and int(announced) <= limit:
        body: bytes = request.read(limit + 1)
        if len(body) <= limit:
            return body
    raise Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        f"The body is larger than {limit} bytes. Send fewer resources at a time, or only their ids.",
    )


def _verified(request: HttpRequest, body: bytes, connection: Connection | None) -> str:
    try:
        if connection is not None and connection.webhook_proof == Connection.WebhookProof.BEARER:
            authorization = request.headers.get("Authorization", "")
            senders = connection.webhook_senders
            bearer.verify(authorization, source_address(), connection.webhook_secrets, senders)
            return ""
        return signatures.verify(
            request.headers,
            body,
            # An unknown slug costs and says the same as a wrong signature.
            connection.webhook_secrets if connection else (),
            now=time.time(),
            tolerance_seconds=settings.WEBHOOK_TOLERANCE_SECONDS,
        )
    except signatures.SignatureRefused as refused:
        raise Refused(HTTPStatus.UNAUTHORIZED, refused.reason, refused.detail) from None


def _own_ids(connection: Connection) -> bool:
    """Return whether the number of an appointment in a message is its id at the EHR."""
    return connection.only_sends or not connection.appointment_system


def _expected(body: bytes, reading: messages.Reading) -> tuple[bytes, str]:
    """Return the answer to an HL7 v2 message and by what it is known again; of what we do not take it is refused."""
    try:
        head = messages.head_of(body, reading)
        answer, message_id = messages.acknowledgement(body, reading), messages.event_id(body, reading)
    except Unreadable as problem:
        raise _not_taken(body, reading, "not_hl7", f"The message was refused: {problem.detail}.") from None
    if head.kind not in messages.TAKEN:
        detail = "Only ADT messages about patients and SIU messages about appointments are taken here."
        raise _not_taken(body, reading, "not_taken", detail)
    return answer, message_id


def _not_taken(body: bytes, reading: messages.Reading, reason: str, detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, reason, detail, messages.refusal(body, detail, reading))


def _parsed(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        payload = read_json(body)
    except NotJson as problem:
        raise Refused(HTTPStatus.BAD_REQUEST, "not_json", f"The body was refused: {problem}.") from None
    if not isinstance(payload, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "not_fhir", "The body is not a FHIR resource.")
    return payload


def _subject(headers: Mapping[str, str], payload: Any, named: str) -> str:
    """Return what an empty body is about, by the header or the address; only ever a hint of what to fetch."""
    if payload:
        return ""
    told = next((headers[name] for name in DELETED if headers.get(name)), named)
    notice = intake.named(told)
    return notice.subject_key if notice else ""


def refusal(refused: Refused) -> HttpResponse:
    """Return the answer to a call that was not taken: what happened and what to do, as RFC 9457 or HL7 v2 writes it."""
    if refused.acknowledgement:
        return HttpResponse(refused.acknowledgement, status=refused.status, content_type=messages.CONTENT_TYPE)
    status = HTTPStatus(refused.status)
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": refused.detail}
    return Response(body, status=status, content_type="application/problem+json")
