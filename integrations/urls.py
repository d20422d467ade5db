"""What outside systems call."""

from django.urls import URLPattern, URLResolver, path

from integrations.messaging.urls import urlpatterns as carrier_urlpatterns
from integrations.webhooks import EhrWebhook

#: EHRs: signed notifications of changes.
ehr_urlpatterns: list[URLPattern | URLResolver] = [
    path("webhooks/ehr/<slug:slug>/", EhrWebhook.as_view(), name="ehr-webhook"),
    path("webhooks/ehr/<slug:slug>/<path:named>", EhrWebhook.as_view(), name="ehr-webhook-named"),
]

urlpatterns: list[URLPattern | URLResolver] = [*ehr_urlpatterns, *carrier_urlpatterns]
