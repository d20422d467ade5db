"""Settings under which the audit trail would be wrong, found at the start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_middleware(app_configs: Any, **_: Any) -> list[CheckMessage]:
    if "auditlog.middleware.AuditlogMiddleware" not in settings.MIDDLEWARE:
        return []
    return [
        Error(
            "django-auditlog's own middleware believes any X-Forwarded-For header.",
            hint="Replace auditlog.middleware.AuditlogMiddleware by audit.middleware.AuditContextMiddleware.",
            id="audit.E001",
        )
    ]
