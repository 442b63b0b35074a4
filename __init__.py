"""Knowledge-anchored biomedical multilingual language models."""

__version__ = "0.1.0"
