import asyncio

import pytest

from tierline_broker import NODE, Presence, Tier, connect, follow


def test_ready_nodes_come_lowest_tier_first(birth):
    presence = Presence()
    for name, tier, state in [
        ("c", Tier.CLOUD, "ready"),
        ("b", Tier.MOBILE, "ready"),
        ("a", Tier.EDGE, "ready"),
        ("d", Tier.EDGE, "draining"),
        ("e", Tier.EDGE, "lost"),
        ("f", None, "ready"),
    ]:
        presence.apply(birth(name, tier, state=state))
    presence.apply(birth("planner", Tier.CLOUD, role="scheduler"))

    assert [found.node for found in presence.ready()] == ["b", "a", "c"]
    assert [found.node for found in presence.ready(Tier.EDGE)] == ["a"]
    assert presence.get("d").state == "draining"
    assert presence.get("x") is None


def test_the_will_of_an_earlier_life_changes_nothing(birth):
    presence = Presence()
    presence.apply(birth("edge", incarnation=2))
    presence.apply(birth("edge", incarnation=1, state="lost"))

    assert presence.get("edge").state == "ready"


def test_listeners_hear_every_birth_also_a_repeated_one(birth):
    presence, heard = Presence(), []
    presence.listeners.append(lambda found, before: heard.append((found.state, before and before.state)))
    for state in ("ready", "ready", "lost"):
        presence.apply(birth("edge", state=state))

    assert heard == [("ready", None), ("ready", "ready"), ("lost", "ready")]


def test_the_table_is_bounded(birth):
    presence = Presence()
    for number in range(10_050):
        presence.births[f"n-{number}"] = birth("edge")
    presence.apply(birth("newest"))

    assert len(presence.births) == 10_050
    assert "newest" in presence.births
    assert "n-0" not in presence.births


async def test_changes_come_once_for_several_at_a_time_and_not_for_repeated_births(birth):
    presence = Presence()
    changes = presence.changes()
    await anext(changes)
    presence.apply(birth("edge"))
    presence.apply(birth("cloud"))
    await anext(changes)
    presence.apply(birth("edge"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(changes)


async def test_one_can_wait_for_a_tier_a_node_or_anything_else(broker_url, site, birth):
    async with (
        asyncio.timeout(10),
        connect(broker_url, name="a", site=site) as session,
        follow(session) as presence,
    ):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(presence.wait_for(Tier.EDGE))
            tasks.create_task(presence.wait_for("cloud"))
            tasks.create_task(presence.wait_for(lambda table: len(table.births) == 2))
            await session.publish(NODE, "edge", birth("edge"))
            await session.publish(NODE, "cloud", birth("cloud", Tier.CLOUD))

        assert {found.node for found in presence.ready()} == {"edge", "cloud"}
