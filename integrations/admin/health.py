"""How carriers and the background work fare, and which alerts went out."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from integrations.messaging import pace
from integrations.models import AlertContact, CarrierState, Heartbeat, SendingLimit, StaffAlert
from scheduling.admin.base import ReadOnlyAdmin, ScopedAdmin
from scheduling.admin.display import link, state, when


@admin.register(CarrierState)
class CarrierStateAdmin(ReadOnlyAdmin):
    everyones = "Carriers serve all locations."
    list_display = ("channel", "success", "failing", "down", "refused", "quiet", "inbound", "last_error")

    @admin.display(description="Last success", ordering="last_success_at")
    def success(self, row: CarrierState) -> str:
        return when(row.last_success_at)

    @admin.display(description="Failing since", ordering="failing_since")
    def failing(self, row: CarrierState) -> str:
        return when(row.failing_since)

    @admin.display(description="Known to be down since", ordering="down_since")
    def down(self, row: CarrierState) -> str:
        return when(row.down_since)

    @admin.display(description="Our account refused since", ordering="refused_since")
    def refused(self, row: CarrierState) -> str:
        return when(row.refused_since)

    @admin.display(description="Nothing before", ordering="quiet_until")
    def quiet(self, row: CarrierState) -> str:
        return when(row.quiet_until)

    @admin.display(description="Inbound read up to", ordering="inbound_seen_at")
    def inbound(self, row: CarrierState) -> str:
        return when(row.inbound_seen_at)


@admin.register(SendingLimit)
class SendingLimitAdmin(ScopedAdmin):
    everyones = "Carriers serve all locations."
    empty_list_says = (
        "No limit is set: by Twilio one text a second leaves from an ordinary number, three from a toll-free one and a "
        "hundred from a short code, where a text of more than 160 letters counts as two or more; everything else as "
        "fast as the carriers take it. At most six a minute and thirty an hour go to one address."
    )
    list_display = ("channel", "per_second", "per_address_minute", "per_address_hour")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with what is held now: leaving the field as it is must not let messages leave faster."""
        usual = pace.limits()[SendingLimit.Channel.SMS]
        return {
            "channel": usual.channel,
            "per_second": usual.per_second,
            **super().get_changeform_initial_data(request),
        }


@admin.register(AlertContact)
class AlertContactAdmin(ScopedAdmin):
    everyones = "People of the practice who look after the machine."
    empty_list_says = "Nobody is named yet: everybody on the staff with an e-mail address hears of technical trouble."
    list_display = ("name", "email", "phone", "active")
    list_filter = ("active",)


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    everyones = "Signs of life of the background work."
    list_display = ("name", "moment", "late_by_ms")

    @admin.display(description="Last ran", ordering="at")
    def moment(self, row: Heartbeat) -> str:
        return when(row.at, seconds=True)


@admin.register(StaffAlert)
class StaffAlertAdmin(ReadOnlyAdmin):
    everyones = "Alerts name no patient; the work item behind each is shown to those of its location."
    list_display = ("item", "status_shown", "recipients", "attempts", "sent")
    list_display_links = None
    list_select_related = ("work_item",)
    ordering = ("-pk",)

    @admin.display(description="About")
    def item(self, row: StaffAlert) -> str:
        return link(f"work item {row.work_item_id}", "scheduling_workitem_change", row.work_item_id)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: StaffAlert) -> str:
        return state(row.status, row.get_status_display(), "ok" if row.status == "sent" else "")

    @admin.display(description="Sent", ordering="sent_at")
    def sent(self, row: StaffAlert) -> str:
        return when(row.sent_at)
