"""Every mobile node's model as its samples are now, where they differ from those it was measured on."""

from dataclasses import replace

from tierline_broker import Tier
from tierline_scheduler.mix import LEAST, Watch, follow, settle
from tierline_scheduler.state import ClusterState, NodeState

QUIET = 30
"""Reports without a sample after which a mobile node's own window says nothing of what comes now."""


def followed(state: ClusterState) -> ClusterState:
    """Return the state in which each mobile node is planned for with the mix of samples that it sees."""
    nodes = dict(state.nodes)
    for name, node in state.nodes.items():
        if node.tier is not Tier.MOBILE or node.base is None or not node.base.pools:
            continue
        mix = settle(node.base, node.mix, _window(state, node), _checks(state, node))
        if mix != node.mix:
            nodes[name] = replace(node, mix=mix, model=follow(node.base, mix))
    return replace(state, nodes=nodes)


def _window(state: ClusterState, node: NodeState) -> Watch | None:
    """Return its own window, else that of the first node that sees its samples, and maybe those of others."""
    plan = state.plans.get(node.name)
    ahead = [] if plan is None else [stage.node for stage in plan.route.stages[1:]]
    for watch in (node.watch, *(state.nodes[name].watch for name in ahead if name in state.nodes)):
        if watch.samples >= LEAST and watch.quiet <= QUIET:
            return watch
    return None


def _checks(state: ClusterState, node: NodeState) -> list[Watch]:
    """Return what all nodes of the same model see of its exits."""
    return [
        one.watch
        for one in state.nodes.values()
        if one.base is not None and node.base is not None and one.base.digest == node.base.digest
    ]
