"""Figures from records and published numbers alone: one file each, and write.py for all."""
