"""A fleet as columns: N devices, each attached to one site, and the servers that the sites share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tierline_scheduler.fleet.features import OF_DEVICE, Feature, PlanTable
from tierline_scheduler.table import Floats, Ints

Singles = NDArray[np.float32]

LEVELS = (0.30, 0.45, 0.55, 0.65, 0.72, 0.78, 0.83, 0.87, 0.90, 0.93, 0.95)
"""Planned utilisations that an edge can be given; its planned wait rises with them."""


def levels_up_to(most: float) -> list[float]:
    """Return the planned utilisations to choose from where none may be over `most`."""
    return [*(level for level in LEVELS if level < most), min(most, LEVELS[-1])]


IDLE = 1e-9
"""Samples a second of a device that sends none: it is planned for all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """M edge or cloud nodes (or pools of equal ones) that devices share; columns are (M,).

    Attributes:
        slowness: times slower than the reference node of the tier.
        spread: relative standard deviation of the seconds that a visit takes.
        count: equal servers behind one queue.
        background: share of their time that is taken already.
        visit: mean seconds of a visit, at the reference node.
    """

    slowness: Floats
    spread: Floats
    count: Floats
    background: Floats
    visit: Floats

    def __len__(self) -> int:
        return len(self.slowness)

    def room(self, level: Floats) -> Floats:
        """Return the seconds a second that devices may use when the planned utilisation is `level`."""
        found: Floats = np.maximum(0.0, level - self.background) * self.count
        return found

    def wait(self, level: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the wait at a utilisation below 1.

        Allen and Cunneen's approximation for several servers with visits as varied as exponential ones; for
        one server it is M/M/1, and as wide as it is long, as in the exact prediction.
        """
        busy = np.minimum(level, 0.999)
        waiting = busy ** (np.sqrt(2 * (self.count + 1)) - 1)  # share of samples that wait at all
        tail = self.visit * self.slowness / (self.count * (1 - busy))
        return waiting * tail, waiting * tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """S places that a device can be attached to: one edge and the cloud behind it; columns are (S,).

    Attributes:
        edge: index of the edge; -1 for a site without.
        cloud: index of the cloud; -1 for a site without.
        backhaul: seconds a byte from the edge to the cloud.
        rtt: round trip between them in seconds.
        backhaul_spread: relative standard deviation of `backhaul`.
        rtt_spread: of `rtt`.
        edge_depth: blocks that the edge holds.
        cloud_depth: blocks that the cloud holds.
    """

    edge: Ints
    cloud: Ints
    backhaul: Floats
    rtt: Floats
    backhaul_spread: Floats
    rtt_spread: Floats
    edge_depth: Ints
    cloud_depth: Ints

    def __len__(self) -> int:
        return len(self.edge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """N devices in the order of their tables and sites; columns are (N,) unless said otherwise.

    Attributes:
        table: index into `tables`.
        site: index into `sites`.
        rate: samples a second.
        deadline: seconds.
        priority: how much a miss of this device weighs.
        margin: standard deviations kept free before the deadline.
        slow_weight: what a slow sample of this device costs more than the objective says.
        depth: blocks that its memory and battery admit.
        features: (N, 9) of the device, as `Feature` orders them.
        spread: (N, 9) their relative standard deviations.
        order: where each device stood before it was put in order.
    """

    tables: tuple[PlanTable, ...]
    sites: Sites
    edges: Servers
    clouds: Servers
    table: Ints
    site: Ints
    rate: Floats
    deadline: Floats
    priority: Floats
    margin: Floats
    slow_weight: Floats
    depth: Ints
    features: Singles
    spread: Singles
    order: Ints

    def __len__(self) -> int:
        return len(self.table)

    @property
    def edge(self) -> Ints:
        """The edge of each device, one past the last for none."""
        edge = self.sites.edge[self.site]
        return np.where(edge < 0, len(self.edges), edge)

    @property
    def cloud(self) -> Ints:
        """The cloud of each device, one past the last for none."""
        cloud = self.sites.cloud[self.site]
        return np.where(cloud < 0, len(self.clouds), cloud)

    def segments(self) -> list[slice]:
        """Return the runs of devices that share table and site."""
        if not len(self):
            return []
        key = self.table * len(self.sites) + self.site
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        return [slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True)]


def make_fleet(
    tables: tuple[PlanTable, ...],
    sites: Sites,
    edges: Servers,
    clouds: Servers,
    columns: Mapping[str, NDArray[np.generic]],
) -> Fleet:
    """Return the fleet with its devices put in order.

    Args:
        tables: of the plans.
        sites: where devices are.
        edges: that sites share.
        clouds: behind them.
        columns: the fields of `Fleet` by name; `slow_weight` may be left out.
    """
    columns = {"slow_weight": np.zeros(len(columns["table"])), **columns}
    # Beyond what has to be together, what devices are like: so that nothing hangs on how they were listed.
    features = np.asarray(columns["features"])
    like = [features[:, k] for k in (Feature.UP_CLOUD, Feature.UP_EDGE, Feature.MOBILE)]
    order = np.lexsort((*like, columns["deadline"], columns["rate"], columns["site"], columns["table"]))
    whole = {name: np.asarray(columns[name])[order].astype(np.int64) for name in ("table", "site", "depth")}
    wide = {name: np.asarray(columns[name])[order].astype(np.float32) for name in ("features", "spread")}
    names = ("rate", "deadline", "priority", "margin", "slow_weight")
    real = {name: np.asarray(columns[name])[order].astype(np.float64) for name in names}
    real["rate"] = np.maximum(real["rate"], IDLE)
    return Fleet(
        tables=tables,
        sites=sites,
        edges=edges,
        clouds=clouds,
        table=whole["table"],
        site=whole["site"],
        depth=whole["depth"],
        features=wide["features"],
        spread=wide["spread"],
        order=order,
        **real,
    )


def device_features(
    rate: Floats, slowness: Floats, codec: Floats, to_edge: Floats, to_cloud: Floats
) -> Singles:
    """Return the features (N, 9) of devices.

    Args:
        rate: samples a second.
        slowness: times slower than the reference mobile node.
        codec: the same of encoding.
        to_edge: (N, 2) bytes a second and round trip in seconds to its edge.
        to_cloud: the same to its cloud.
    """
    found = np.empty((len(rate), OF_DEVICE), dtype=np.float32)
    found[:, Feature.MOBILE], found[:, Feature.CODEC] = slowness, codec
    found[:, Feature.UP_EDGE], found[:, Feature.RTT_EDGE] = 1 / to_edge[:, 0], to_edge[:, 1]
    found[:, Feature.UP_CLOUD], found[:, Feature.RTT_CLOUD] = 1 / to_cloud[:, 0], to_cloud[:, 1]
    found[:, Feature.OWN] = rate * slowness**2
    found[:, Feature.OWN_EDGE] = rate / to_edge[:, 0] ** 2
    found[:, Feature.OWN_CLOUD] = rate / to_cloud[:, 0] ** 2
    return found
