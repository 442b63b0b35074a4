"""The bilingual knowledge base: readers of its sources and its Parquet form."""
