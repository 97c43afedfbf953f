"""Whether requests that are under way survive the end of the service.

    python -m tests.benchmarks.serving_shutdown [--repeats 10]

Clients ask without pause, half of them over connections that they keep, half over a
new one for each request; then the server gets a SIGTERM. A request fails that was sent
over a connection that the server had not closed yet, and has no full answer.
"""

import argparse
import select
import signal
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.serving_tools.requests import Model
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import our_server, packaged_models


@dataclass
class Outcome:
    """What the clients of one server have seen.

    Attributes:
        answers: Full answers by status.
        failed: What became of requests without one.
        refused: Attempts to connect that were refused.
    """

    answers: Counter = field(default_factory=Counter)
    failed: Counter = field(default_factory=Counter)
    refused: int = 0


def read_answer(connection):
    """Read an answer; return its status and whether the connection stays."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    head = head.lower()
    length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return int(head[9:12]), b"\r\nconnection: close" not in head


def _more(connection):
    data = connection.recv(65536)
    if not data:
        raise EOFError
    return data


def is_closed(connection) -> bool:
    """Return whether the server has closed a connection that has no answer to give."""
    return bool(select.select([connection], [], [], 0)[0])


def client(port, content, keeps, outcome, lock):
    """Ask until there is nobody to ask."""
    connection, kind = None, "new"
    while True:
        if connection is None:
            kind = "new"
            try:
                connection = socket.create_connection(("127.0.0.1", port), 30)
            except ConnectionRefusedError:
                with lock:
                    outcome.refused += 1
                return
            except ConnectionResetError:
                with lock:
                    outcome.failed["new connection: reset at once"] += 1
                return
        elif is_closed(connection):
            connection.close()
            connection = None
            continue
        stays = False
        try:
            connection.sendall(content)
            status, stays = read_answer(connection)
            with lock:
                outcome.answers[status] += 1
        except OSError as error:
            with lock:
                outcome.failed[f"{kind} connection: {type(error).__name__}"] += 1
        except EOFError:
            with lock:
                outcome.failed[f"{kind} connection: closed"] += 1
        kind = "kept"
        if not (keeps and stays):
            connection.close()
            connection = None


def end_under_load(folder, content, clients, seconds):
    """Start a server, load it, end it; return outcome, exit status, seconds to end."""
    outcome, lock = Outcome(), threading.Lock()
    with our_server(folder) as server:
        server.wait_until_ready()
        threads = [
            threading.Thread(
                target=client,
                args=(server.port, content, number % 2 == 0, outcome, lock),
            )
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        begin = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(60)
        took = time.perf_counter() - begin
        for thread in threads:
            thread.join()
    return outcome, status, took


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, help="instead of the packaged model")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rows", type=int, default=1, help="images of each request")
    parser.add_argument("--seconds", type=float, default=1.0, help="until the signal")
    arguments = parser.parse_args()
    folder = arguments.models or packaged_models()
    model = Model(folder)
    content = model.in_json(model.images(arguments.rows)).content()
    print_machine()
    answers, failed, refused, statuses, times = Counter(), Counter(), [], set(), []
    for _ in range(arguments.repeats):
        outcome, status, took = end_under_load(
            folder, content, arguments.clients, arguments.seconds
        )
        answers += outcome.answers
        failed += outcome.failed
        refused.append(outcome.refused)
        statuses.add(status)
        times.append(took)
    rows = Rows()
    rows.add(
        f"requests that failed at {arguments.repeats} ends under load",
        "0",
        f"{failed.total():,} of {answers.total() + failed.total():,} "
        f"{dict(failed) or ''}",
        not failed,
    )
    rows.add("status of the answers", "200 only", dict(answers), set(answers) == {200})
    rows.add(
        "clients whose next connection was refused",
        f"all {arguments.clients}",
        f"{min(refused)} to {max(refused)}",
        min(refused) == arguments.clients,
    )
    expected = {0, -signal.SIGTERM, 128 + signal.SIGTERM}
    rows.add("exit status", "0 or 143", sorted(statuses), statuses <= expected)
    rows.add("seconds to the end", "", f"{median(times):.2f}, at most {max(times):.2f}")
    return rows.status


if __name__ == "__main__":
    sys.exit(main())
