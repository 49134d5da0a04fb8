"""The group stage: one table of a cohort, its quality at a glance, and its statistics."""
