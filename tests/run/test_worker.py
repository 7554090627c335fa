from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgekit.errors import EdgekitError, Exit
from edgekit.run.worker import Worker
from tests.run.targets import Alone, Cannot, DiesWhileBuilt, Echo

ROOT = Path(__file__).resolve().parents[2]
PROMPT_S = 2.0  # far above what ending a process takes, far below what the child was told to sleep


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(Echo, "hello", what="running 'net.onnx'") as worker:
        yield worker


def error_of(worker: Worker, method: str, *args: object, timeout_s: float | None = None) -> EdgekitError:
    with pytest.raises(EdgekitError) as caught:
        worker.call(method, *args, timeout_s=timeout_s)
    return caught.value


class TestAnswers:
    def test_builds_its_object_and_answers_in_another_process(self, worker: Worker) -> None:
        assert worker.call("greet") == "hello"
        assert worker.call("pid") == worker.pid != os.getpid()

    @pytest.mark.parametrize("shape", [(0,), (3, 4), (1000, 1000)])
    def test_arrays_come_back_as_they_went_and_can_be_written(self, worker: Worker, shape: tuple[int, ...]) -> None:
        x = np.random.default_rng(0).standard_normal(shape)
        y = worker.call("back", {"x": x, "n": 1})["x"]
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(x, y)
        y[...] = 0

    def test_strided_arrays_travel_too(self, worker: Worker) -> None:
        x = np.arange(12).reshape(3, 4)
        np.testing.assert_array_equal(worker.call("back", x.T[::2]), x.T[::2])

    def test_prints_of_native_code_do_not_fall_into_an_answer(
        self, worker: Worker, capfd: pytest.CaptureFixture[str]
    ) -> None:
        worker.call("shout", "noise" * 1000)
        assert worker.call("greet") == "hello"
        assert capfd.readouterr() == ("", "")

    def test_finds_modules_where_the_parent_does(self, worker: Worker) -> None:
        assert worker.call("path") == sys.path

    def test_an_object_is_gone_before_the_next_is_built(self) -> None:
        with Worker(Alone, bytes(1 << 20), what="running a model") as worker:
            for _ in range(3):
                worker.become(Alone, bytes(1 << 20), what="running another")
                assert worker.call("company") == 0

    def test_does_not_run_the_users_script_again(self, worker: Worker) -> None:
        assert worker.call("main_module") is None

    def test_loads_neither_torch_nor_a_runtime_of_its_own_accord(self) -> None:
        with Worker(dict, what="nothing") as worker:
            worker.ready()
        code = "import sys, edgekit.run.worker; print(*sys.modules)"
        modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        assert not {"torch", "onnxruntime", "ai_edge_litert", "numpy"} & set(modules.stdout.split())

    def test_calls_of_several_threads_wait_for_each_other(self, worker: Worker) -> None:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda i: worker.call("back", i), range(200))) == list(range(200))


class TestFailures:
    def test_an_edgekit_error_comes_as_it_is(self, worker: Worker) -> None:
        assert error_of(worker, "refuse").args == ("EK101", "a", "b", "c")
        assert worker.call("greet") == "hello"

    def test_another_exception_becomes_ek902_with_its_text(self, worker: Worker) -> None:
        error = error_of(worker, "stumble")
        assert (error.code, error.what, error.why) == ("EK902", "running 'net.onnx' failed", "KeyError: 'toe'")
        assert "in stumble" in error.__notes__[0]
        assert error_of(worker, "say_nothing").why == "ValueError"
        assert error_of(worker, "unpicklable").code == "EK902"
        assert error_of(worker, "no_such_method").code == "EK902"
        assert worker.call("greet") == "hello"

    def test_memory_error(self, worker: Worker) -> None:
        error = error_of(worker, "starve")
        assert (error.code, error.exit, error.why) == ("EK903", Exit.EXHAUSTED, "MemoryError: no room")

    def test_what_cannot_be_sent_leaves_the_worker_usable(self, worker: Worker) -> None:
        with pytest.raises((AttributeError, TypeError)):
            worker.call("back", threading.Lock())
        assert worker.call("greet") == "hello"

    def test_failing_to_build(self) -> None:
        with Worker(Cannot, what="x") as worker:
            with pytest.raises(EdgekitError, match="EK101"):
                worker.ready()
            assert error_of(worker, "anything").code == "EK101"
        with Worker(DiesWhileBuilt, what="x") as worker:
            assert error_of(worker, "anything").why == "the process ended with status 3"

    def test_main_is_refused(self) -> None:
        def make() -> None: ...

        make.__module__ = "__main__"
        with pytest.raises(AssertionError, match="cannot import"):
            Worker(make, what="x")


class TestDeaths:
    @pytest.mark.parametrize(
        ("method", "args", "code", "exit_", "why"),
        [
            ("abort", (), "EK901", Exit.ENVIRONMENT, "the process ended by SIGABRT; its last words: last words"),
            ("segfault", (), "EK901", Exit.ENVIRONMENT, "the process ended by SIGSEGV"),
            ("leave", (0,), "EK901", Exit.ENVIRONMENT, "the process ended with status 0"),
            ("leave", (7,), "EK901", Exit.ENVIRONMENT, "the process ended with status 7"),
            ("killed", (signal.SIGRTMIN + 3,), "EK901", Exit.ENVIRONMENT, "the process ended by signal 37"),
            ("killed", (), "EK903", Exit.EXHAUSTED, "SIGKILL, which the kernel sends when memory runs out"),
        ],
    )
    def test_a_dying_child_is_an_error(
        self, worker: Worker, method: str, args: tuple[int, ...], code: str, exit_: Exit, why: str
    ) -> None:
        error = error_of(worker, method, *args)
        assert (error.code, error.exit) == (code, exit_)
        assert "running 'net.onnx'" in error.what
        assert error.why.startswith(why)
        assert error_of(worker, "greet") is error

    def test_a_child_that_died_between_calls(self, worker: Worker) -> None:
        worker.ready()
        os.kill(worker.pid, signal.SIGSEGV)
        assert error_of(worker, "back", np.zeros(1_000_000)).code == "EK901"

    def test_time_limit(self, worker: Worker) -> None:
        assert worker.call("back", 1, timeout_s=60) == 1
        error = error_of(worker, "sleep", 60, timeout_s=0.2)
        assert (error.code, error.exit, error.why) == ("EK904", Exit.EXHAUSTED, "no answer within 0.2 s")


class TestEnd:
    def test_closing_is_prompt_and_leaves_no_process(self, worker: Worker) -> None:
        worker.ready()
        start = time.monotonic()
        worker.close()
        worker.close()
        assert time.monotonic() - start < PROMPT_S
        assert not psutil.pid_exists(worker.pid)

    def test_closing_ends_a_busy_child(self, worker: Worker) -> None:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(worker.call, "sleep", 60)
            time.sleep(0.3)
            start = time.monotonic()
            worker.close()
            assert time.monotonic() - start < PROMPT_S
            assert isinstance(future.exception(), EdgekitError)

    def test_a_child_goes_when_its_parent_is_killed(self, tmp_path: Path) -> None:
        script = f"""
            import os, signal
            from edgekit.run.worker import Worker
            from tests.run.targets import Echo
            worker = Worker(Echo, what="x").ready()
            open({str(tmp_path / "pid")!r}, "w").write(str(worker.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=False)
        assert _gone(int((tmp_path / "pid").read_text()))

    @pytest.mark.parametrize("group", [False, True], ids=["parent only", "whole group, as at a terminal"])
    def test_ctrl_c_ends_the_child_without_noise(self, tmp_path: Path, group: bool) -> None:
        script = f"""
            import sys
            from edgekit.run.worker import Worker
            from tests.run.targets import Echo
            try:
                with Worker(Echo, what="x") as worker:
                    print(worker.ready().pid, flush=True)
                    worker.call("touch_and_sleep", {str(tmp_path / "asleep")!r})
            except KeyboardInterrupt:
                sys.exit(130)
        """
        parent = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        _wait_for(tmp_path / "asleep")
        (os.killpg if group else os.kill)(parent.pid, signal.SIGINT)
        out, err = parent.communicate(timeout=10)
        assert (parent.returncode, err) == (130, "")
        assert _gone(int(out))


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + PROMPT_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
