"""The site that `asv publish` writes: which backend to use, what changed, and whether to trust it; asv's own pages keep
the history one click below.

`publisher` is asv's plugin, `content` what has been measured, `answers` and `guidance` what it says, `figures` how it
looks, `render` the pages, `asv_pages` asv's own. Results are only read.
"""
