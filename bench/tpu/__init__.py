"""Costs of training steps on TPUs: timed where one is attached, else compiled and counted."""
