"""Counting webhook calls that were refused. Their bodies are not kept: anybody may send anything."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from integrations.models import RefusedCall


def count(endpoint: str, reason: str) -> None:
    """Count one refused call at ``endpoint`` for ``reason``, per day."""
    now = timezone.now()
    key = {"endpoint": endpoint[:60], "day": now.date(), "reason": reason[:60]}
    if RefusedCall.objects.filter(**key).update(count=F("count") + 1, last_at=now):
        return
    try:
        with transaction.atomic():
            RefusedCall.objects.create(**key, count=1, last_at=now)
    except IntegrityError:
        RefusedCall.objects.filter(**key).update(count=F("count") + 1, last_at=now)
