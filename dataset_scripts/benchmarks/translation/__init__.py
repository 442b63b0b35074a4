"""Annotated data sets translated into another language: marked, translated, projected back, checked, reviewed."""
