"""What a model is worth: scores, probes of alignment, intervals and tests, the paper's tables."""
