"""What becomes of volumes from session to session."""
