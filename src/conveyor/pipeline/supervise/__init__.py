"""Workers from their start to their end, and what the engine needs of the world outside."""
