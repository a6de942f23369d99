"""Data sets that are drawn on the spot: faces with exact attributes, and digits."""
