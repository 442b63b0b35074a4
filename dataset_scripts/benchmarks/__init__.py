"""The translated benchmarks: readers of their files and their Parquet form."""
