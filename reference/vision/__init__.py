"""Networks beside the own one: the autoencoder of latents, and Inception for FID."""
