"""The numbers that go in: recorded draws, their laws, and draws made on the device."""
