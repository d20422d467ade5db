"""Every version of a practice's own words, and what was stated before it went live. Both have pages of their own."""

from __future__ import annotations

from django.contrib import admin

from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import state, when
from waitlist.events import BY_KEY
from waitlist.models import LaunchStatement, MessageTemplate


@admin.register(MessageTemplate)
class MessageTemplateAdmin(ReadOnlyAdmin):
    everyones = "All locations speak in the same words."
    list_title = "Versions of words"
    empty_list_says = "Every message still says the words it came with."
    list_display = ("message", "language", "channel", "edition", "state_shown", "edited_by", "edited")
    list_filter = ("active", "language", "channel")
    fields = ("message", "language", "channel", "edition", "subject", "text", "state_shown", "edited_by", "edited")
    readonly_fields = ("message", "state_shown", "edited")

    @admin.display(description="Message", ordering="event")
    def message(self, row: MessageTemplate) -> str:
        event = BY_KEY.get(row.event)
        return event.title if event else row.event

    @admin.display(description="State", ordering="active")
    def state_shown(self, row: MessageTemplate) -> str:
        return state("ok", "in use") if row.active else state("closed", "earlier")

    @admin.display(description="Written", ordering="edited_at")
    def edited(self, row: MessageTemplate) -> str:
        return when(row.edited_at)


@admin.register(LaunchStatement)
class LaunchStatementAdmin(ReadOnlyAdmin):
    everyones = "What is stated of the sending number holds for all locations."
    list_title = "Statements before going live"
    empty_list_says = "Nothing was stated yet. It is done under “Before you go live”."
    list_display = ("topic_shown", "answer", "reference", "about", "done_on", "stated_by", "stated")
    fields = ("topic", "answer", "reference", "about", "done_on", "stated_by", "stated")
    readonly_fields = ("stated",)

    @admin.display(description="What", ordering="topic")
    def topic_shown(self, row: LaunchStatement) -> str:
        return row.get_topic_display()

    @admin.display(description="Stated", ordering="stated_at")
    def stated(self, row: LaunchStatement) -> str:
        return when(row.stated_at)
