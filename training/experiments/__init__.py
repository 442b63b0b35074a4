"""Arms compared, from data to report."""
