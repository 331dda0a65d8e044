"""What asv loads before it does anything, and the list of benchmarks that it finds.

asv imports `timeline` or `commits`, and `records`, by the configuration that it is given. What they do is done by the
wings below.
"""
