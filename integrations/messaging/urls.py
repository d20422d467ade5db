"""What the carriers call."""

from django.urls import path

from integrations.messaging.views import inbound, status

urlpatterns = [
    path("webhooks/<slug:channel>/<slug:carrier>/inbound/", inbound, name="carrier-inbound"),
    path("webhooks/<slug:channel>/<slug:carrier>/status/", status, name="carrier-status"),
]
