"""From Wikipedia dumps to articles that exist in several languages."""
