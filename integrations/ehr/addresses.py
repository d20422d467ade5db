"""Which network addresses a call may go to, decided at the moment of connecting.

The address of an EHR is a setting that an administrator types. It must not become a way to reach this machine, its
neighbours or a cloud's metadata service, whether by a plain address, a name that points there, or a name that pointed
elsewhere when it was checked. So a name is resolved once, its addresses are judged, and the socket is opened to the
judged address itself.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading

from django.conf import settings

from integrations.ehr.gateway import Refused, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Addresses of IPv4 in the clothes of IPv6.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Where clouds keep their metadata although not every Python counts these as private.
_SHARED = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("192.0.0.0/24"))


def allowed_addresses(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of ``host`` that may be called, in the resolver's order.

    Raises Refused when it has only forbidden ones and Unavailable when it has none or the resolver is silent.
    """
    found = resolve(host, port, seconds)
    allowed = [address for address in found if is_allowed(address)]
    if not allowed:
        raise Refused("The address of the EHR is a private, local or metadata address.")
    return allowed


def is_allowed(address: str) -> bool:
    """Return whether an IP address may be called."""
    return bool(settings.EHR_ALLOW_PRIVATE_ADDRESSES) or is_public(address)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the open internet, whatever form it is written in."""
    parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    elif any(parsed in network for network in _SHARED):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the IP addresses of ``host``; raises Unavailable when there are none within ``seconds``."""
    try:
        return [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        pass
    # The system's resolver knows no time limit, so it is left behind in a thread of its own.
    answer: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
    threading.Thread(target=_look_up, args=(host, port, answer), name="resolver", daemon=True).start()
    try:
        found = answer.get(timeout=max(seconds, 0.01))
    except queue.Empty:
        raise Unavailable("The name of the EHR's host could not be resolved in time.") from None
    if not found:
        raise Unavailable("The name of the EHR's host is not known.")
    return found


def _look_up(host: str, port: int, answer: queue.SimpleQueue[list[str] | None]) -> None:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        answer.put(None)
    else:
        answer.put(list(dict.fromkeys(str(row[4][0]) for row in rows)))
