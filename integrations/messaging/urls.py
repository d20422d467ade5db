"""What the carriers call."""

from django.urls import path

from integrations.messaging.views import inbound, status

urlpatterns = [
    path("webhooks/sms/<slug:channel>/inbound/", inbound, name="sms-inbound"),
    path("webhooks/sms/<slug:channel>/status/", status, name="sms-status"),
]
