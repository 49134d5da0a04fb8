"""The statistics of a gathered cohort, by the design that a person wrote."""
