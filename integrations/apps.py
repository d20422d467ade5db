from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit.log import register_model
        from integrations import buttons, models
        from integrations.ehr import buttons as ehr_buttons
        from integrations.messaging.explaining import explain
        from waitlist import why_not_sent

        buttons.register()
        ehr_buttons.register()
        why_not_sent.register(explain)
        # Calls and events are records in themselves; tokens change by the minute.
        register_model(
            models.Connection,
            exclude=(
                "cursor",
                "load_progress",
                "poll_due_at",
                "poll_lease_until",
                "last_poll_at",
                "calendar_as_of",
                "listens_since",
                "rereads",
                "last_event_at",
                "last_success_at",
                "quiet_until",
                "last_error",
                "capabilities",
                "checked_at",
                "load_due_at",
                "patients_stale",
                "history_due_at",
                "history_progress",
                "reconcile_due_at",
                "findings",
            ),
        )
        register_model(models.Difference, exclude=("seen_at", "due_at"))
        register_model(models.SigningKey)
        register_model(models.AlertContact)
        register_model(models.SendingLimit)
        register_model(models.EventSubscription, exclude=("events_seen", "last_heard_at", "checked_at"))
        register_model(models.CodeMapping, exclude=("last_seen_at", "apply_due_at"))
        # Their health is counted, and a change of mappings is a record in itself.
        register_model(models.FieldMapping)
