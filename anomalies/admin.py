"""The admin site: triage as Django users expect it."""
