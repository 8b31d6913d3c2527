"""What was measured and learnt of each candidate: frozen records, their store and tables."""
