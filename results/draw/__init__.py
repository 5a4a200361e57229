"""Figures from records and published numbers: one file each, and write.py for all."""
