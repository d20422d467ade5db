"""What outside systems call."""

from django.urls import URLPattern, URLResolver, path

from integrations.ehr.key_set_view import key_set
from integrations.messaging.urls import urlpatterns as carrier_urlpatterns
from integrations.webhooks import EhrWebhook

#: EHRs: signed notifications of changes, and the keys our own logins are signed with.
ehr_urlpatterns: list[URLPattern | URLResolver] = [
    path("webhooks/ehr/<slug:slug>/", EhrWebhook.as_view(), name="ehr-webhook"),
    path("webhooks/ehr/<slug:slug>/<path:named>", EhrWebhook.as_view(), name="ehr-webhook-named"),
    path("ehr/<slug:slug>/jwks.json", key_set, name="ehr-key-set"),
]

urlpatterns: list[URLPattern | URLResolver] = [*ehr_urlpatterns, *carrier_urlpatterns]
