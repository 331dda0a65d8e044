"""What numbers mean: what is a change, whether an answer is right, which backend wins, and what is to be said of it.

It knows results and stacks, and nothing of clocks, pages or issues.
"""
