"""What a reproduction costs on named machines, before it is begun: `meanflow plan`."""
