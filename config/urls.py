"""Every address of the site: health, staff, what the EHR and the carriers call, and the patients' pages."""

from django.contrib import admin
from django.urls import include, path

from config.health import healthz, readyz

handler400 = "config.error_pages.bad_request"
handler500 = "config.error_pages.server_error"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("", include("integrations.urls")),
    path("", include("waitlist.urls")),
]
