"""What a bundle is worth: scores, drift, error, and whether engines agree."""
