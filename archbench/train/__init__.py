"""A network and data become an accuracy curve, rung by rung, resumable bit for bit."""
