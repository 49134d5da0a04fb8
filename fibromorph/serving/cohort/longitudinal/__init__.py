"""Sessions of one person in a space half-way between them, so that none is favoured."""
