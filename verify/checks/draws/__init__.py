"""Random draws: recorded draws, their distributions, and draws made on the device."""
