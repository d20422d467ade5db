"""The short way for machines: a signed webhook has no session, no form and no browser to protect."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import resolve

PREFIX = "/webhooks/"


class MachineCallsMiddleware:
    """Answers webhooks by their view alone, past every middleware behind this one.

    It stands behind the audit context and the redirect to https, which hold for machines too, and before sessions,
    CSRF, content policy and log-in, which are about people in browsers. An EHR that sends a thousand changes at once
    is acknowledged in time because of it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        request.resolver_match = match = resolve(request.path_info)
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
        return response
