"""What is run and how: suites, execution, records, tables."""
