"""Components of FID: Inception features, and the Fréchet distance."""

from pathlib import Path

# A narrow network of the real topology.
STANDIN = Path(__file__).parents[2] / "fixtures" / "standins" / "inception.pt"
