"""The site that `asv publish` writes: which backend to use, what changed, and whether to trust it; asv's own pages keep
the history one click below.

`publisher` is asv's plugin, `figures` how numbers look, `render` the pages, `data` what can be taken away, `asv_pages`
asv's own. Results are only read, and nothing is decided here: that is `harness.judging`'s.
"""
