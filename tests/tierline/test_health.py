"""The health check of the container images."""

import asyncio
from pathlib import Path

import pytest

from tierline.health import main
from tierline.identity import own_name
from tierline_broker import NODE, Birth, Tier, connect


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERLINE_STATE", str(tmp_path))
    monkeypatch.setenv("TIERLINE_BROKER", broker_url)


async def say(broker_url: str, site: str, name: str, state: str) -> None:
    birth = Birth(node=name, tier=Tier.EDGE, state=state, incarnation=1, version="0")
    async with asyncio.timeout(10), connect(broker_url, name=name, site=site) as session:
        await session.retain(NODE, name, birth)


async def test_a_program_is_healthy_exactly_while_the_broker_says_that_it_is_ready(
    broker_url: str, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with own_name(None, "edge", site) as name:
        for state, code in (("ready", 0), ("lost", 1), ("ready", 0)):
            await say(broker_url, site, name, state)

            assert await asyncio.to_thread(main) == code
            assert f"{name} is {state}" in capsys.readouterr().out


def test_a_program_without_a_name_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 1
    assert "no program has taken a name" in capsys.readouterr().err


def test_a_program_that_never_joined_is_not_healthy(
    site: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierline.health._SECONDS", 0.3)
    with own_name(None, "edge", site):
        assert main() == 1
    assert "unknown" in capsys.readouterr().out


def test_a_program_whose_broker_is_gone_is_not_healthy(
    site: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERLINE_BROKER", "mqtt://127.0.0.1:1")
    with own_name(None, "edge", site):
        assert main() == 1
    assert "no MQTT broker answers" in capsys.readouterr().err
