"""Which rows a member of staff may see: those of the locations they work at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

ALL_LOCATIONS = "scheduling.see_all_locations"


def sees_all_locations(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return True for active superusers and holders of ``scheduling.see_all_locations``."""
    return bool(user.is_active and getattr(user, "has_perm", lambda _p: False)(ALL_LOCATIONS))


class ScopedQuerySet(models.QuerySet[Any]):
    """A queryset every staff screen narrows with :meth:`for_user` before it shows anything.

    A model names the way to its location in ``location_scope`` ("location", "opening__location",
    "patient__locations") and says with ``shared_when_unplaced`` whether rows without one belong to everybody.
    """

    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Return the rows of the locations ``user`` has access to; none for anonymous or inactive users."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if sees_all_locations(user):
            return self
        allowed = LocationAccess.objects.filter(user_id=user.pk).values("location_id")
        path = self.model.location_scope
        if not path:
            return self
        # Subqueries on the key, no joins: a patient of two locations is still one row, and the
        # result can be counted, updated and searched like any other queryset.
        every = self.model._base_manager
        inside = Q(pk__in=every.filter(**{f"{path}__in": allowed}).values("pk"))
        if self.model.shared_when_unplaced:
            inside |= Q(pk__in=every.filter(**{f"{path}__isnull": True}).values("pk"))
        return self.filter(inside)


class ScopedModel(models.Model):
    """Base of every model staff can look at."""

    location_scope: ClassVar[str] = ""
    shared_when_unplaced: ClassVar[bool] = False

    objects = ScopedQuerySet.as_manager()

    class Meta:
        abstract = True


class LocationAccess(models.Model):
    """A member of staff works at a location and may see what belongs to it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="location_access")
    location = models.ForeignKey("scheduling.Location", on_delete=models.CASCADE, related_name="staff_access")

    class Meta:
        verbose_name = "location access"
        verbose_name_plural = "location access"
        constraints = (models.UniqueConstraint(fields=("user", "location"), name="location_access_once"),)

    def __str__(self) -> str:
        return f"{self.user.get_username()} at {self.location.name}"
