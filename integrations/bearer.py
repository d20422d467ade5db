"""Webhook calls that show a bearer token instead of a signature, taken only from addresses that were named.

A token proves less than a signature: whoever sees one call can make others. So it counts only for connections that were
set to it, and together with where the call came from.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable

from integrations.signatures import SignatureRefused

SHORTEST = 16


def verify(authorization: str, address: str | None, secrets: Iterable[str], networks: str) -> None:
    """Raise SignatureRefused unless the token is one of ``secrets`` and ``address`` lies in one of ``networks``.

    ``networks`` are separated by white space. What was wrong is not told apart, so that neither half can be probed.
    """
    scheme, _, token = authorization.partition(" ")
    offered = token.strip().encode() if scheme.casefold() == "bearer" else b""
    is_known = False
    for secret in secrets:
        # No early end: how many secrets there are, and which one fitted, is nobody's business.
        is_known |= hmac.compare_digest(secret.encode(), offered) and len(offered) >= SHORTEST
    if not (is_known and is_named(address, networks)):
        raise SignatureRefused(
            "bad_bearer",
            "The bearer token is missing or wrong, or the call does not come from an address named at the connection.",
        )


def is_named(address: str | None, networks: str) -> bool:
    """Return whether an IP address lies in one of the networks."""
    if address is None:
        return False
    sender = ipaddress.ip_address(address)
    return any(sender in ipaddress.ip_network(line) for line in networks.split())
