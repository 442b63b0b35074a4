"""The aligned corpora: matching, code-switching, facts, passages."""
