"""The site's Content-Security-Policy, put together only for answers that do not bring their own."""

from __future__ import annotations

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class ContentPolicyMiddleware(CSPMiddleware):
    """Leaves an answer alone that states a policy: the patients' pages have one that never changes."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the site's policy where there is none."""
        return response if HEADER in response.headers else super().process_response(request, response)
