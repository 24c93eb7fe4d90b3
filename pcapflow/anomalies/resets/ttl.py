"""Whether a RST came with the TTL of the host whose address it bears: a device on the way has one of its own."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, among, side
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER


def usual_ttls(tables: Tables, flows: IntArray, endpoints: IntArray) -> IntArray:
    """For each of these flows the TTL that the packets of one of its hosts have when they are not resets.

    Those of the flow itself count first, then those of the host's other connections.

    Returns:
        -1 where no such packet was seen, or where they differ among those connections: then nothing can be said.
    """
    own = np.where(_speaks(tables, CLIENT)[flows], side(tables.flows, CLIENT, "ttl")[flows], -1)
    theirs = np.where(_speaks(tables, SERVER)[flows], side(tables.flows, SERVER, "ttl")[flows], -1)
    own = np.where(endpoints == CLIENT, own, theirs)
    if not np.any(own < 0):
        return own
    hosts = _hosts(tables, flows, endpoints)
    keys, ttls = _of_hosts(tables, hosts[own < 0])
    known = group(ttls, keys)
    if not len(known):
        return own
    least, most = (how.reduceat(known.members, known.starts[:-1]) for how in (np.minimum, np.maximum))
    usual = np.where(least == most, least, -1)
    names = np.sort(keys)[known.starts[:-1]]
    place = np.minimum(np.searchsorted(names, hosts), len(names) - 1)
    return np.where(own >= 0, own, np.where(names[place] == hosts, usual[place], -1))


def foreign_ttls(tables: Tables, flows: IntArray, endpoints: IntArray, usual: IntArray) -> BoolArray:
    """Which of these flows were reset with a TTL that no other packet of the RST's host has.

    Args:
        tables: of the capture.
        flows: flows with a RST.
        endpoints: whose address each RST bears.
        usual: what :func:`usual_ttls` says of them.
    """
    ttl = tables.flows["reset_ttl"][flows].astype(np.int64)
    foreign: BoolArray = (usual >= 0) & (ttl >= 0) & (ttl != usual)
    if foreign.any():
        # A host behind several paths, or several hosts behind one address, has more than one.
        hosts = _hosts(tables, flows, endpoints)
        keys, ttls = _of_hosts(tables, hosts[foreign])
        pairs = group_keys(np.concatenate((hosts, keys)), np.concatenate((ttl, ttls)))
        foreign &= ~among(pairs[: len(hosts)], pairs[len(hosts) :])
    return foreign


def _speaks(tables: Tables, endpoint: int) -> BoolArray:
    """Flows of which this side sent something else than resets, and its TTL is known."""
    f = tables.flows
    speaks: BoolArray = (side(f, endpoint, "ttl") >= 0) & (side(f, endpoint, "packets") > side(f, endpoint, "rsts"))
    return speaks


def _hosts(tables: Tables, flows: IntArray, endpoints: IntArray) -> IntArray:
    return np.where(endpoints == CLIENT, host_keys(tables, CLIENT)[flows], host_keys(tables, SERVER)[flows])


def _of_hosts(tables: Tables, hosts: IntArray) -> tuple[IntArray, IntArray]:
    """Key and TTL of each side of a flow that is one of these hosts and sent something else than resets."""
    keys, ttls = [], []
    for endpoint in SIDES:
        rows = np.flatnonzero(_speaks(tables, endpoint))
        rows = rows[among(host_keys(tables, endpoint)[rows], hosts)]
        keys.append(host_keys(tables, endpoint)[rows])
        ttls.append(side(tables.flows, endpoint, "ttl")[rows])
    return np.concatenate(keys), np.concatenate(ttls)
