"""What is done for good: from the ends of a pipeline back to the items of its source."""
