"""FID and the Inception score: Inception's file, moments of features, scores with intervals."""
