"""The bare views."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench.floors.models import FloorEvent, FloorOpening

#: The signing secret, known to the process as a setting would be.
SECRET = settings.SECRET_KEY.encode()


class Bare(APIView):
    """A view without login, permissions, throttles or negotiation beyond JSON."""

    authentication_classes = ()
    permission_classes = ()


class StoreEvent(Bare):
    """Verify the signature over the raw bytes and insert one row."""

    def post(self, request: Request) -> Response:
        """Answer 200 once the row is committed, 401 for a wrong signature."""
        body = request.body
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
            return Response({"detail": "wrong signature"}, status=401)
        now = timezone.now()
        FloorEvent.objects.create(
            connection_id=1,
            via="webhook",
            dedupe_key=request.headers["X-Event-Id"],
            body=body,
            content_type=request.content_type,
            due_at=now,
            received_at=now,
        )
        return Response({"stored": True})


class TakeOpening(Bare):
    """Let the first of many take a time by one conditional UPDATE."""

    def post(self, request: Request, opening_id: int, patient_id: int) -> Response:
        """Answer 200 to the winner and 409 to everybody else."""
        free = FloorOpening.objects.filter(pk=opening_id, status__in=("open", "checking", "offering"))
        won = free.update(status="claimed", taken_by=patient_id)
        return Response({"won": bool(won)}, status=200 if won else 409)
