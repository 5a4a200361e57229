"""The VAE that latents are made with, and the Inception network of FID."""
