"""The `conveyor` command: one verb a file. Data goes to standard output, all else to standard error."""
