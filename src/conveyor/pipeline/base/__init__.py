"""What every room of the pipeline shares: failures, events, times and texts."""
