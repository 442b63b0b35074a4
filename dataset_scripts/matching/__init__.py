"""Finding the names of a knowledge base in text."""
