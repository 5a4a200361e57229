"""The objective: each stage, the whole, edges of its settings, and its other forms."""
