"""Work on several boards at once; here each is this machine."""

import signal
import threading
import time

import pytest

from bitat_deploy.device import Board, CheckRunning, Connection, connect, on_boards
from bitat_deploy.errors import ConnectionFailedError, InputError, RunFailedError

BOARDS = [Board("local", name) for name in ("one", "two", "three")]


def sleep(connection: Connection, started: threading.Event) -> None:
    command = ["sh", "-c", "echo started >&2; exec sleep 60"]
    result = connection.run(command, on_error=lambda line: started.set())
    raise RunFailedError(result.last_error)


def test_each_board_has_its_outcome() -> None:
    together = threading.Barrier(3, timeout=10)

    def work(board: Board, connection: Connection, check_running: CheckRunning) -> bytes:
        together.wait()
        check_running()
        if board.name == "two":
            raise RunFailedError("two fails")
        return connection.run(["echo", board.name]).stdout

    outcomes = on_boards(BOARDS, lambda board: connect(board.host), work)
    assert [outcome.board for outcome in outcomes] == BOARDS
    assert [outcome.result for outcome in outcomes] == [b"one\n", None, b"three\n"]
    assert [str(outcome.error) for outcome in outcomes] == ["None", "two fails", "None"]


def test_a_board_that_cannot_be_reached() -> None:
    def reach(board: Board) -> Connection:
        if board.name == "one":
            raise ConnectionFailedError("no such board")
        return connect(board.host)

    outcomes = on_boards(BOARDS[:2], reach, lambda board, connection, check: board.name)
    assert isinstance(outcomes[0].error, ConnectionFailedError)
    assert outcomes[1].result == "two"


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt, ValueError])
def test_other_errors_stop_all(error: type[BaseException]) -> None:
    started, stopped = threading.Event(), threading.Event()
    ends: list[str] = []

    def work(board: Board, connection: Connection, check_running: CheckRunning) -> None:
        if board.name == "three":
            started.wait()
            raise error("of the whole work")
        try:
            if board.name == "one":
                sleep(connection, started)
            while not stopped.wait(0.01):
                check_running()
            check_running()
        except RunFailedError as end:
            ends.append(str(end))
            raise

    with pytest.raises(error, match="of the whole work"):
        on_boards(
            BOARDS,
            lambda board: connect(board.host),
            work,
            tolerated=(RunFailedError,),
            on_stop=stopped.set,
        )
    assert stopped.is_set() and len(ends) == 2


def test_a_command_that_begins_at_the_moment_of_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitat_deploy.device.boards._SECONDS_TO_TIDY_UP", 0.1)
    checked, stopped = threading.Event(), threading.Event()
    exit_codes = []

    def work(board: Board, connection: Connection, check_running: CheckRunning) -> None:
        if board.name == "one":
            checked.wait()
            raise ValueError
        checked.set()
        stopped.wait()
        time.sleep(0.05)  # until its board was told to stop
        exit_codes.append(connection.run(["sleep", "60"]).exit_code)

    with pytest.raises(ValueError):
        on_boards(BOARDS[:2], lambda board: connect(board.host), work, on_stop=stopped.set)
    assert exit_codes == [128 + signal.SIGKILL]


def test_a_single_board_needs_no_thread() -> None:
    (outcome,) = on_boards(
        BOARDS[:1],
        lambda board: connect(board.host),
        lambda board, connection, check: threading.current_thread(),
    )
    assert outcome.result is threading.main_thread()
