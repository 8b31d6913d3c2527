"""What does each choice of a network cost, and what does it buy: one knob turned at a time."""
