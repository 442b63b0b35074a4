"""Pretraining: from corpora to examples, masks and batches, and the steps of a run."""
