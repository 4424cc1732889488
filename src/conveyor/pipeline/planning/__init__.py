"""From what the user said to the nodes of a run, with what can be found wrong before it begins."""
