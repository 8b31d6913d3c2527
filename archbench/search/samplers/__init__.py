"""What proposes candidates: one file a sampler."""
