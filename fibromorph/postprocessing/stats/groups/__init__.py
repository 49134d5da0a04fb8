"""Patients against controls."""
