"""The templates of the report."""
