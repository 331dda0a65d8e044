"""Exact counts of what a backend compiles: the nodes of the rewritten graph, and the rewrites that led there.

They depend on the model, the release and the rewriting mode, and on no clock: a changed count is a changed graph.
Computed outside all clocks. It must not know the samplers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphCounters:
    """`nodes` after rewriting; `replacements` is the number of variables that rewriting replaced by others."""

    graph: str
    mode: str
    nodes: int
    replacements: int


def count_graph(model, mode_name: str | None, jax_gradient: bool) -> GraphCounters:
    """Rewrite the model's log-density, with its gradient unless JAX takes it, in the named mode, and count.

    `mode_name` None is the release's own default mode.
    """
    from pytensor.compile.mode import get_mode
    from pytensor.graph.features import Feature
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.replace import clone_replace

    class Replacements(Feature):
        """Counts each replaced variable once, however many nodes used it."""

        def __init__(self) -> None:
            self.seen: set[tuple[int, int]] = set()
            self.kept: list = []

        def on_change_input(self, fgraph, node, i, old, new, reason=None) -> None:
            pair = (id(old), id(new))
            if pair not in self.seen:
                self.seen.add(pair)
                # Keep both alive: a freed variable's id may be given to another.
                self.kept.extend((old, new))

    mode = get_mode(mode_name)
    outputs = [model.logp()]
    if not jax_gradient:
        outputs.append(model.dlogp())
    # What the user registered as data is an input too, which compiling would find by itself.
    inputs = [*model.value_vars, *model.data_vars]
    graph = FunctionGraph(inputs, clone_replace(outputs), clone=True)
    replacements = Replacements()
    graph.attach_feature(replacements)
    mode.optimizer.rewrite(graph)
    return GraphCounters(
        graph="logp" if jax_gradient else "logp+gradient",
        mode=mode_name or type(mode.linker).__name__,
        nodes=len(graph.apply_nodes),
        replacements=len(replacements.seen),
    )
