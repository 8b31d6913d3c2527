"""What was found, told: one file for each kind of finding."""
