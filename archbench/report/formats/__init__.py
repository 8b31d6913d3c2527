"""What a report can be written as: one file, one format, each with ``write(study, folder)``."""
