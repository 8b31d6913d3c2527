"""What does each choice of a network cost, and what does it buy: one factor changed at a time."""
