"""Members of staff, the locations they work at, and what they may do."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from scheduling.admin.base import ScopedAdmin, ScopedFields
from scheduling.models import LocationAccess

User = get_user_model()
admin.site.unregister(User)
admin.site.unregister(Group)


class LocationAccessInline(ScopedFields, admin.TabularInline[LocationAccess, Any]):
    model = LocationAccess
    extra = 0
    verbose_name_plural = "locations this person works at (none: sees no location's rows)"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "location")


@admin.register(User)
class StaffAdmin(ScopedAdmin, UserAdmin[Any]):
    everyones = "Those who manage accounts manage all of them."
    inlines = (LocationAccessInline,)
    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "last_login")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        # The page that adds a user asks for name and password only.
        return self.inlines if obj is not None else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Their name stands in the audit trail; clearing "active" ends their access.
        return False


@admin.register(Group)
class RightsAdmin(ScopedAdmin, GroupAdmin):  # type: ignore[misc]  # the stubs differ, the methods do not
    everyones = "Groups are sets of rights, not of people or places."
