"""Latency: calibration, rounds and estimate."""
