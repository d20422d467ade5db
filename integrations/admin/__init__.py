"""IT's screens: connections, what arrived, what was asked, what codes mean. Importing the modules registers them."""

from integrations.admin import calls, codes, connections, differences, events, health, patient_writes

__all__ = ["calls", "codes", "connections", "differences", "events", "health", "patient_writes"]
