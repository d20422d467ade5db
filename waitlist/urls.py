"""The addresses patients are sent to."""

from django.urls import URLPattern, URLResolver, path, re_path

from waitlist.cancel_views import cancel_page
from waitlist.consent_views import consent_page
from waitlist.contact_views import contact_page
from waitlist.request_views import request_page
from waitlist.unsubscribe_views import unsubscribe_page
from waitlist.views import calendar, cut_off_page, front_page, offer_page

BY_OFFER = {"by_offer": True}
BEHIND_A_TOKEN: list[URLPattern | URLResolver] = [
    path("o/<str:token>/", offer_page, name="offer"),
    path("o/<str:token>/calendar.ics", calendar, name="offer-calendar"),
    path("o/<str:token>/cancel/", cancel_page, name="offer-cancel"),
    path("o/<str:token>/request/", request_page, BY_OFFER, name="offer-request"),
    path("o/<str:token>/request/contact/", contact_page, BY_OFFER, name="offer-contact"),
    path("o/<str:token>/request/contact/<slug:step>/", contact_page, BY_OFFER, name="offer-contact-step"),
    path("o/<str:token>/request/<slug:step>/", request_page, BY_OFFER, name="offer-request-step"),
    path("u/<str:token>/", unsubscribe_page, name="unsubscribe"),
    path("c/<str:token>/", consent_page, name="consent"),
    path("r/<str:token>/", request_page, name="request"),
    path("r/<str:token>/contact/", contact_page, name="contact"),
    path("r/<str:token>/contact/<slug:step>/", contact_page, name="contact-step"),
    path("r/<str:token>/<slug:step>/", request_page, name="request-step"),
]
urlpatterns = [
    path("", front_page, name="front"),
    *BEHIND_A_TOKEN,
    # What a phone cut off or added to.
    re_path(r"^[cour]/(?:.*/)?$", cut_off_page, name="cut-off"),
]
