"""Makes our site the admin, and keeps its two groups."""

from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class DeskAdminConfig(AdminConfig):
    default_site = "config.admin_site.DeskSite"

    def ready(self) -> None:
        super().ready()
        from config.desk.groups import keep_groups

        # By this app's turn every app on its left has its tables, and so the permissions to give.
        post_migrate.connect(keep_groups, sender=self, dispatch_uid="config.desk.groups")
