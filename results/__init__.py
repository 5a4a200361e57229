"""Records of every result with its provenance, and tables, figures and a report made from them."""
