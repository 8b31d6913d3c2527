"""Latency: calibration, rounds, estimate and comparison."""
