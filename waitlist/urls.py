"""The addresses patients are sent to."""

from django.urls import URLPattern, URLResolver, path

from waitlist.views import calendar, offer_page

urlpatterns: list[URLPattern | URLResolver] = [
    path("o/<str:token>/", offer_page, name="offer"),
    path("o/<str:token>/calendar.ics", calendar, name="offer-calendar"),
]
