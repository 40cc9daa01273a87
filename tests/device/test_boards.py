"""Work on several boards at once; here each is this machine."""

import threading

import pytest

from bitat_deploy.device import Board, CheckRunning, Connection, connect, on_boards
from bitat_deploy.errors import ConnectionFailedError, InputError, RunFailedError

BOARDS = [Board("local", name) for name in ("one", "two", "three")]


def sleep(connection: Connection) -> None:
    result = connection.run(["sleep", "60"])
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
    stopped = threading.Event()
    ends: list[str] = []

    def work(board: Board, connection: Connection, check_running: CheckRunning) -> None:
        if board.name == "three":
            raise error("of the whole work")
        try:
            if board.name == "one":
                sleep(connection)
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


def test_a_single_board_needs_no_thread() -> None:
    (outcome,) = on_boards(
        BOARDS[:1],
        lambda board: connect(board.host),
        lambda board, connection, check: threading.current_thread(),
    )
    assert outcome.result is threading.main_thread()
