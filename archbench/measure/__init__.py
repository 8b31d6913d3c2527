"""What does a network cost: operators counted, latency timed, with the conditions beside it."""
