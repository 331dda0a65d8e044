"""What is measured in: locks, their history and timeline, and the environments that uv makes of them.

It must not know what is measured in a stack, nor what asv is.
"""
