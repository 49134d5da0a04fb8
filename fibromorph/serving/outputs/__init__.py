"""The files that come out for one scan: written whole, put in place together."""
