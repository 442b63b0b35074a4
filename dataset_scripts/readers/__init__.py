"""Readers of the texts that corpora are made of: one module a format."""
