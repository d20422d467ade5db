from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    name = "scheduling"
    verbose_name = "Calendar"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit.log import register_model
        from scheduling import buttons, models

        buttons.register()
        for model in (
            models.Practice,
            models.Location,
            models.ClosedDay,
            models.LocationAccess,
            models.Plan,
            models.Provider,
            models.AppointmentType,
            models.Bookable,
            models.Patient,
            models.PatientIdentifier,
            models.PatientMerge,
            models.PatientReview,
            models.PatientWrite,
            models.ContactPoint,
            models.Coverage,
            models.Appointment,
            models.Block,
            models.CancellationNote,
            models.Opening,
            models.Writeback,
            models.WorkItem,
            models.Source,
        ):
            register_model(model)
