"""Who was scanned, what is known of them, and what their volumes are adjusted for."""
