"""What FID is made of: Inception features, and the Frechet distance."""

from pathlib import Path

# A narrow network of the real topology.
STANDIN = Path(__file__).parents[2] / "fixtures" / "standins" / "inception.pt"
