"""Figures from records and published numbers alone, one file each; `meanflow tables` writes them."""
