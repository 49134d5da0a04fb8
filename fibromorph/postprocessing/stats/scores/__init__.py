"""Volumes against pain, mood and activity."""
