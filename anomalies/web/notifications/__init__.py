"""Channels and what they were told."""
