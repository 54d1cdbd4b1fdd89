import os
import signal
import sys
import threading

import psutil

from tierline_broker import guard


def test_the_guard_ends_its_command_and_clears_up_when_its_input_ends(tmp_path, capsys):
    folder = tmp_path / "broker"
    folder.mkdir()
    source, ours = os.pipe()
    os.close(ours)

    code = guard.main(str(folder), "sleep", "60", source=source)

    os.close(source)
    assert code == -signal.SIGTERM
    assert not psutil.pid_exists(int(capsys.readouterr().out))
    assert not folder.exists()


def test_the_guard_insists_where_its_command_will_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "GRACE_SECONDS", 0.1)
    source, ours = os.pipe()
    deaf = tmp_path / "deaf"
    os.mkfifo(deaf)
    command = f"trap '' TERM; echo > {deaf}; while :; do sleep 1; done"
    thread = threading.Thread(target=lambda: (deaf.read_text(), os.close(ours)))
    thread.start()

    code = guard.main(str(tmp_path), "sh", "-c", command, source=source)

    thread.join()
    os.close(source)
    assert code == -signal.SIGKILL


def test_the_guard_keeps_the_folder_of_a_command_that_failed(tmp_path):
    source, ours = os.pipe()

    code = guard.main(str(tmp_path), sys.executable, "-c", "raise SystemExit(7)", source=source)

    assert code == 7
    assert tmp_path.exists()
    os.close(ours)
