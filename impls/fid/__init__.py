"""FID and Inception score: features of samples, their moments, Fréchet distance, intervals."""
