"""Checkouts of the authors' code: a stand-in of the same interface, and a real one where named."""

import os
from pathlib import Path

STANDIN = Path(__file__).parent / "official_standin"
CHECKOUT = os.environ.get("MEANFLOW_OFFICIAL", "")
