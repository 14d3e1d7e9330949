"""The job and its command line; operators/ holds the logic that knows nothing of Flink."""
