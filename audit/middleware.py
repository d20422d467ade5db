"""Gives every request its actor, its correlation id and the address it came from."""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import LazyObject, empty

from audit.context import ANONYMOUS, Actor, acting_as_found, coming_from, correlated, new_correlation_id

HEADER = "X-Correlation-ID"
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")
_IPV4_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d+")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::\d+)?")


class AuditContextMiddleware:
    """Stands first, so that whatever is recorded or logged by the other middleware has its context already.

    The user is looked up only when something is recorded, so a request that records nothing costs no query. DRF writes
    the user of a token back to the request, so such calls have their actor too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with (
            correlated(_identifier(request)) as identifier,
            coming_from(client_address(request)),
            acting_as_found(lambda: _actor(request), lambda: _known_actor(request)),
        ):
            response = self.get_response(request)
        response.headers[HEADER] = identifier
        return response


def client_address(request: HttpRequest) -> str | None:
    """The sender's IP address, or None where there is none, as on a Unix socket without a proxy.

    Only the last ``TRUSTED_PROXY_COUNT`` entries of X-Forwarded-For were written by proxies of ours. The leftmost of
    these is the sender as our outermost proxy saw it; whatever stands before it may be invented.
    """
    proxies = settings.TRUSTED_PROXY_COUNT
    direct = parse_address(request.META.get("REMOTE_ADDR", ""))
    if proxies < 1:
        return direct
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(forwarded) < proxies:
        return direct
    return parse_address(forwarded[-proxies]) or direct


@lru_cache(maxsize=1024)  # mostly it is the same proxy or EHR that calls
def parse_address(text: str) -> str | None:
    """An IP address in its normal form, without port, brackets and zone; None for anything else."""
    text = text.strip()
    if match := _IPV4_WITH_PORT.fullmatch(text) or _BRACKETED.fullmatch(text):
        text = match[1]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _identifier(request: HttpRequest) -> str:
    # From a stranger an identifier could tie their request to somebody else's; only our own proxy may choose it.
    offered = request.META.get("HTTP_X_REQUEST_ID", "").replace("-", "").lower() if settings.TRUSTED_PROXY_COUNT else ""
    return offered if _IDENTIFIER.fullmatch(offered) else new_correlation_id()


def _actor(request: HttpRequest) -> Actor:
    return Actor.for_user(getattr(request, "user", None))


def _known_actor(request: HttpRequest) -> Actor:
    user: Any = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user.__dict__.get("_wrapped", empty) is empty:
        return ANONYMOUS
    return Actor.for_user(user)
