"""Diagnosis of an installation; read-only."""
