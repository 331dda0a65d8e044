"""What was measured, as files: records, asv's numbers, the compatibility table, and what other machines hand in.

It must not know how a result came about, nor what it means.
"""
