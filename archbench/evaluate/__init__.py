"""What does a network cost and reach: the one room that knows networks and numbers."""
