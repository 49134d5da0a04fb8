"""Cohorts: a BIDS App that scales from one machine to a cluster with the same code."""
