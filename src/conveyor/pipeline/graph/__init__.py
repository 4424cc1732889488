"""What the user said: the steps of a pipeline as a value, its checks and its description."""
