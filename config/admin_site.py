"""Django's admin as the front desk's site: Today on its first page, the installation's kind and the practice's name
on every page, and times in the practice's zone.

The site's pages are imported by its methods: their modules register themselves with the site, which must exist by then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import URLPattern, URLResolver
from django.utils import timezone

AnyView = TypeVar("AnyView", bound=Callable[..., HttpResponseBase])


class DeskSite(AdminSite):
    site_header = "Sooner"
    site_title = "Sooner"
    index_title = "Today"
    site_url = None
    enable_nav_sidebar = False

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from config.desk.urls import desk_urls  # noqa: PLC0415

        return [*desk_urls(self), *super().get_urls()]

    def admin_view(self, view: AnyView, cacheable: bool = False) -> AnyView:
        """Show and read times in the practice's zone, and say to staff in staff's words what is not there for them.

        A location's own pages name their zone themselves.
        """

        def in_practice_zone(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            with timezone.override(_practice_zone()):
                try:
                    response = view(request, *args, **kwargs)
                except (Http404, PermissionDenied) as refusal:
                    response = self._refused(request, refusal)
                if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
                    response.render()
            return response

        return super().admin_view(cast(AnyView, update_wrapper(in_practice_zone, view)), cacheable)

    def _refused(self, request: HttpRequest, refusal: Exception) -> TemplateResponse:
        status = 404 if isinstance(refusal, Http404) else 403
        title = "This page is not here" if status == 404 else "You may not do this"
        context = {**self.each_context(request), "title": title, "subtitle": None}
        return TemplateResponse(request, f"admin/{status}.html", context, status=status)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from config.desk.today import today_view  # noqa: PLC0415

        return today_view(self, request)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        from config.desk.frame import frame  # noqa: PLC0415

        return {**super().each_context(request), **frame(request, settings.INSTALLATION)}


def _practice_zone() -> ZoneInfo:
    from scheduling.models import Practice  # noqa: PLC0415

    name = Practice.objects.filter(pk=1).values_list("time_zone", flat=True).first()
    return ZoneInfo(name or Practice._meta.get_field("time_zone").default)
