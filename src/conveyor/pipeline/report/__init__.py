"""What a run did, in figures, words and pictures."""
