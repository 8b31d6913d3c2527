"""Another device as the target: an agent there times passes, and all else is done here."""
