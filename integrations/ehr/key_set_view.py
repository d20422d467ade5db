"""Where EHRs fetch our public keys: ``/ehr/<slug>/jwks.json``."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from integrations.ehr import signing_keys
from integrations.models import Connection


@require_safe
def key_set(request: HttpRequest, slug: str) -> HttpResponse:
    """Return the public keys of one connection; they are no secret, so nobody has to sign in."""
    connection = get_object_or_404(Connection.objects.only("slug"), slug=slug)
    response = JsonResponse(signing_keys.key_set(connection), content_type="application/jwk-set+json")
    response["Cache-Control"] = f"public, max-age={signing_keys.KEPT_SECONDS}"
    return response
