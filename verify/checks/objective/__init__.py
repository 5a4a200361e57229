"""Objective: each stage, the whole, edge cases of its settings, and its other forms."""
