"""What lies under every shared object: names, references that travel in pickles, descriptors, waiting, ends."""
