"""What a study asks: its design file, its columns by name, and how one begins."""
