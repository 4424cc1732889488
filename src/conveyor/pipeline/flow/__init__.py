"""Where items are on their way through a stage: pure data, without clock and without I/O."""
