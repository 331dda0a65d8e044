"""What every test may count on."""

import signal

# A job that a shell starts in the background ignores Ctrl-C, and so does all that it starts: what tests
# interrupt would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)
