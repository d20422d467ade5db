"""Whatever is answered at an address that holds a patient's token is stored nowhere and its address told to nobody."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

#: An offer, a printed form, a patient's own request, the end of e-mails; :mod:`config.logs` masks what follows them.
PREFIXES = ("/o/", "/c/", "/r/", "/u/")


class TokenPagesMiddleware:
    """Stands before those that answer by themselves: a redirect to https or to the slash, an error, names it too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # The bare address is what is left of a link that was cut off; it is kept nowhere either.
        if request.path_info == "/" or request.path_info.startswith(PREFIXES):
            response.headers["Cache-Control"] = "no-store"
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response
