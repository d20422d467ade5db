"""Answers for load balancers and process supervisors; they hold no data and need no login."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from integrations.health import readiness


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers. It touches nothing else, so an outage elsewhere does not restart healthy processes."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """The process can do its work: the database answers. 503 takes it out of the balancer until it does.

    It also says how the background work fares, which makes no web process unready: rows wait.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        background = readiness()
    except DatabaseError:
        return JsonResponse({"status": "unavailable", "database": "unreachable"}, status=503)
    return JsonResponse({"status": "ok", "database": "ok", **background})
