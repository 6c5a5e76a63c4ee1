"""What runs in a process of the pool: evaluates rows until nobody sends any."""

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from dse.core.evaluation import Evaluator
from dse.core.failure import Failure, one_line
from dse.core.space import Columns
from dse.workers.transport import unpack
from dse.workers.workers import Outcome, evaluate_one

BEGUN = "begun"


def serve(pipe: Connection) -> None:
    """Take an evaluator as bytes and rows as columns; send `BEGUN` and an outcome per row.

    Ends when the other end of the pipe is closed, and at once when the driver dies.
    """
    # Ctrl-C reaches the whole process group; only the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # what an evaluator prints is not what the command gives
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    evaluator: Evaluator | Failure = Failure("raised", "no evaluator came")
    while True:
        try:
            message: bytes | Columns = pipe.recv()
        except (EOFError, OSError):
            return
        if isinstance(message, bytes):
            evaluator = _unpickled(message)
            continue
        pipe.send(BEGUN)
        if isinstance(evaluator, Failure):
            pipe.send(Outcome(None, evaluator))
        else:
            pipe.send(evaluate_one(evaluator, message))


def _unpickled(message: bytes) -> Evaluator | Failure:
    """The evaluator, or why it cannot be one here."""
    try:
        return unpack(message)
    except Exception as error:  # whatever its own code raises
        why = f"the evaluator does not arrive at the worker: {one_line(error)}"
        return Failure("raised", why)


def _end_with_the_driver() -> None:
    driver = parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
