from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate, pre_delete, pre_save


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from auditlog.models import LogEntry
        from django.contrib.auth import get_user_model
        from django.contrib.auth import signals as auth

        from audit import receivers, stamping
        from audit.system_checks import check_middleware

        pre_save.connect(stamping.stamp_before_saving, sender=LogEntry, dispatch_uid="audit.stamp")
        pre_delete.connect(receivers.keep_audited_user, sender=get_user_model(), dispatch_uid="audit.keep_user")
        post_migrate.connect(receivers.restore_triggers, sender=self, dispatch_uid="audit.triggers")
        auth.user_logged_in.connect(receivers.record_login, dispatch_uid="audit.login")
        auth.user_logged_out.connect(receivers.record_logout, dispatch_uid="audit.logout")
        auth.user_login_failed.connect(receivers.record_failed_login, dispatch_uid="audit.failed_login")
        checks.register(check_middleware)
