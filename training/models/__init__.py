"""Checkpoints before and after training: what a run starts from, tokenizers, vocabularies, conversion, packaging."""
