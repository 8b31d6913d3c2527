"""What follows from a study's facts: fronts, models of accuracy, certificates, picks, tables."""
