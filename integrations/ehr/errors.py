"""The named errors that a call to an EHR can end with, whatever the EHR."""

from __future__ import annotations

from datetime import datetime


class GatewayError(Exception):
    """Something an EHR call ended with. ``code`` is stable and safe to log; it never holds patient data."""

    code = "error"

    def __init__(self, detail: str = "", *, status: int | None = None, outcome_code: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.status = status
        self.outcome_code = outcome_code


class NotFound(GatewayError):
    """There is no such resource: 404, or 410 when it was deleted."""

    code = "not_found"


class Taken(GatewayError):
    """The EHR says that the booking conflicts with something; a fresh look tells whether the time is gone."""

    code = "taken"


class StaleVersion(GatewayError):
    """The resource changed since the version we hold."""

    code = "stale_version"


class Duplicate(GatewayError):
    """The EHR says it has done this already; look it up."""

    code = "duplicate"


class Rejected(GatewayError):
    """The EHR will not do this however often it is asked."""

    code = "rejected"


class LoginRefused(GatewayError):
    """Our credentials or scopes are not accepted."""

    code = "login_refused"


class Throttled(GatewayError):
    """The EHR asks for patience, until ``retry_at`` when it said so."""

    code = "throttled"

    def __init__(self, detail: str = "", *, retry_at: datetime | None = None, status: int | None = None) -> None:
        super().__init__(detail, status=status)
        self.retry_at = retry_at


class Unavailable(GatewayError):
    """The EHR could not be reached or failed, and the request certainly had no effect."""

    code = "unavailable"


class OutcomeUnknown(GatewayError):
    """A write was sent and no usable answer came: it may have happened."""

    code = "outcome_unknown"


class Malformed(GatewayError):
    """A read was answered with something that cannot be read."""

    code = "malformed"


class Refused(GatewayError):
    """We do not make this call: another host, a private address, a redirect with our token."""

    code = "refused_by_us"
