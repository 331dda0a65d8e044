"""What a contributor begins with: a model or a backend that runs, and what is left to fill in."""
