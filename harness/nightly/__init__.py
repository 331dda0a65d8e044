"""The run that nobody watches: its steps, the branch where they meet, and whom it tells of what."""
