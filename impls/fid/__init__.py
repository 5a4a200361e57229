"""From noise to FID and the Inception score: features, their moments, distance, intervals."""
