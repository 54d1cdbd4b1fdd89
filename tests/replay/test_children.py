"""Child processes end with us, and their own end is noticed."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from tierline_replay import Child, ChildError, ChildRefusedError, supervise


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules children can run; in the pipe that is their first argument they say `up`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "echo_child.py").write_text(
        "import sys\nsys.stderr.write('hello\\n'); sys.stderr.flush()\nopen(sys.argv[1], 'w').write('up')\n"
        "for line in sys.stdin:\n"
        "    open(sys.argv[1] + '.heard', 'a').write(line)\n"
        "    if 'end' in line: sys.exit('it ends here')\n"
    )
    (tmp_path / "refusing_child.py").write_text(
        "import sys\nsys.stderr.write('tierline node: no such bundle\\n'); sys.exit(2)\n"
    )
    (tmp_path / "stubborn_child.py").write_text(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sys.stderr.write('x' * 200_000 + '\\n'); sys.stderr.flush()\nopen(sys.argv[1], 'w').write('up')\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "waiting_child.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    for name in ("first", "second"):
        os.mkfifo(tmp_path / name)
    return tmp_path


def gone(pid: int) -> bool:
    """Whether no process has that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until_up(pipe: Path) -> None:
    """Wait until a child says through its pipe that it is up."""
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(pipe.read_text) == "up"


async def run_and_end(
    commands: dict[str, list[str]], end: Callable[[Child], None], *pipes: Path, pids: list[int] | None = None
) -> None:
    """Run children, end the first once all are up, and wait: nothing but their own end ends this."""
    async with asyncio.timeout(30), supervise() as supervisor:
        children = [await supervisor.start(name, command) for name, command in commands.items()]
        for pipe in pipes:
            await until_up(pipe)
        if pids is not None:
            pids += [child.pid for child in children]
        end(children[0])
        await asyncio.Event().wait()


def ask(child: Child) -> None:
    """Ask an echo to end."""
    child.say({"please": "end"})


async def test_children_are_gone_when_the_block_ends(programs: Path) -> None:
    async with supervise() as supervisor:
        child = await supervisor.start("echo", ["echo_child", str(programs / "first")])
        await until_up(programs / "first")

    assert gone(child.pid)


async def test_a_child_that_ends_is_named_with_its_last_lines(programs: Path) -> None:
    pipe = programs / "first"
    with pytest.raises(ChildError) as caught:
        await run_and_end({"echo": ["echo_child", str(pipe)]}, ask, pipe)

    assert (caught.value.name, caught.value.code) == ("echo", 1)
    assert caught.value.last_lines == ("hello", "it ends here")
    assert "the echo process ended with code 1; its last lines:\nhello\nit ends here" in str(caught.value)
    assert json.loads((programs / "first.heard").read_text()) == {"please": "end"}


async def test_a_child_that_is_killed_is_named_with_the_signal(programs: Path) -> None:
    pipe = programs / "first"

    with pytest.raises(ChildError, match="the echo process was ended by signal 9"):
        await run_and_end(
            {"echo": ["echo_child", str(pipe)]}, lambda child: os.kill(child.pid, signal.SIGKILL), pipe
        )


async def test_what_a_child_refuses_is_said_in_its_own_sentence(programs: Path) -> None:
    with pytest.raises(ChildRefusedError) as caught:
        await run_and_end({"node": ["refusing_child"]}, lambda _: None)

    assert str(caught.value) == "no such bundle"


async def test_one_childs_end_ends_the_others(programs: Path) -> None:
    pids: list[int] = []
    first, second = programs / "first", programs / "second"
    with pytest.raises(ChildError, match="the one process"):
        await run_and_end(
            {"one": ["echo_child", str(first)], "other": ["echo_child", str(second)]},
            ask,
            first,
            second,
            pids=pids,
        )

    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


async def test_a_child_that_will_not_end_is_killed_within_two_seconds(programs: Path) -> None:
    loop = asyncio.get_running_loop()
    async with supervise() as supervisor:
        child = await supervisor.start("stubborn", ["stubborn_child", str(programs / "first")])
        await until_up(programs / "first")
        started = loop.time()

    assert gone(child.pid)
    assert loop.time() - started < 2


async def test_a_tethered_module_ends_with_whoever_holds_its_standard_input(programs: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tierline_replay.tether", "waiting_child", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"up\n"
        process.stdin.close()
        _, said = await process.communicate()

    assert process.returncode == -signal.SIGTERM
    assert b"standard input has ended" in said
