"""The paper's tables again: its cells as data, a grid of runs that fill them with ours, and the report of both."""
