"""Detectors, their overrides, custom rules and the reference of types."""
