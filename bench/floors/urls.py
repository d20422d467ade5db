"""The addresses of the floors."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench.floors.views import StoreEvent, TakeOpening


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the server is up."""
    return HttpResponse("ok")


urlpatterns = [
    path("healthz", healthz),
    path("events/", StoreEvent.as_view()),
    path("openings/<int:opening_id>/<int:patient_id>/", TakeOpening.as_view()),
]
