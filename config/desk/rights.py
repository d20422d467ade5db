"""One line to ask for a right, with the refusal on record."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from audit.log import record
from audit.models import AccessRecord


def require(request: HttpRequest, permission: str) -> None:
    """Raise PermissionDenied, on record, when the person lacks ``permission``."""
    if not request.user.has_perm(permission):
        record(AccessRecord.Action.DENIED, result=AccessRecord.Result.REFUSED, reason=f"no permission: {permission}")
        raise PermissionDenied
