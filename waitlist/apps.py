from django.apps import AppConfig


class WaitlistConfig(AppConfig):
    name = "waitlist"
    verbose_name = "Waitlist"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit.log import register_model
        from waitlist import buttons, models, states  # noqa: F401 - importing the states registers them

        buttons.register()
        register_model(models.WaitlistEntry, m2m_fields=("providers", "locations"))
        for model in (
            models.EntryWindow,
            models.ImportBatch,
            models.Offer,
            models.Claim,
            models.OutreachPolicy,
            models.ConsentLink,
            models.ConsentRecord,
            models.ContactChange,
            models.Message,
            models.Reply,
            models.MessageTemplate,
            models.LaunchStatement,
        ):
            register_model(model)
