"""Everything outside the measured environment. Imports run downward only, from each floor to those named below it:

`cli` (the top), `nightly` (the run that nobody watches), `site` (pages and figures), `asv_plugins` (what asv loads),
`measuring` (trials by way of asv, and sweeps), `judging` (what numbers mean), `results` (what was measured, as files),
`stacks` (what is measured in), and beneath all `suite`, `output`, `errors` and `paths`.
"""
