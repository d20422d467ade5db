"""Staff's screens of the waitlist. Importing the modules registers them."""

from waitlist.admin import consent, entries, messages, offers, policies, replies

__all__ = ["consent", "entries", "messages", "offers", "policies", "replies"]
