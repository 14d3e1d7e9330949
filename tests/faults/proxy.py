"""A fault proxy: stands on 127.0.0.1 between the job and its AWS endpoint, and does what its rules say.

    with FaultProxy("http://127.0.0.1:4566") as proxy:
        rule = proxy.add(Rule("dynamodb:BatchWriteItem", throttle, times=20))
        …                                    # the job's endpoint is proxy.endpoint
        rule.hits                            # 20: it really happened

The newest rule is asked first; what its fault forwards meets the older ones, and in the end the endpoint. Requests and
answers are read whole. Signatures are passed on and not checked: emulators do not either.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from tests.faults.answers import ConnectionLost, Fault, Forward
from tests.faults.requests import Answer, Request

_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "date", "server", "content-length"}


@dataclass
class Rule:
    """Which requests go wrong, how, and how often.

    Attributes:
        operation: a pattern, e.g. 's3:UploadPart', 'kinesis:*'.
        fault: what happens to them.
        times: after so many it is over; None: no limit.
        seconds: so long after its first hit it is over; None: no limit.
        every: hits the first of so many requests that it matches.
        where: further condition.
        what: what a person reads of it.
        hits: requests that met it.
    """

    operation: str
    fault: Fault
    times: int | None = None
    seconds: float | None = None
    every: int = 1
    where: Callable[[Request], bool] = lambda _: True
    what: str = ""
    hits: int = 0
    matched: int = 0
    began: float | None = None
    last: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def takes(self, request: Request, now: float) -> bool:
        """Whether this request goes wrong; counts it if so. `now`: seconds of a monotonic clock."""
        if not fnmatch.fnmatchcase(request.operation, self.operation) or not self.where(request):
            return False
        with self._lock:
            if self.is_over(now):
                return False
            self.matched += 1
            if (self.matched - 1) % self.every:
                return False
            self.hits += 1
            self.began = now if self.began is None else self.began
            self.last = now
            return True

    def is_over(self, now: float) -> bool:
        """Whether it will hit nothing any more."""
        enough = self.times is not None and self.hits >= self.times
        return enough or (self.seconds is not None and self.began is not None and now - self.began >= self.seconds)


class FaultProxy:
    """See the module.

    Attributes:
        endpoint: what clients are told.
        seen: requests by operation, whatever became of them.
    """

    def __init__(self, upstream: str, **upstreams: str) -> None:
        """`upstream` gets everything but the services in `upstreams`: kinesis='http://…'."""
        self.upstream, self.upstreams = upstream, dict(upstreams)
        self.seen: Counter[str] = Counter()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, rule: Rule) -> Rule:
        """From now on, before all that are there."""
        with self._lock:
            self._rules.insert(0, rule)
        return rule

    def clear(self) -> None:
        """No rule any more; what hangs, hangs on."""
        with self._lock:
            self._rules.clear()

    def answer(self, request: Request, forward: Forward) -> Answer:
        """What becomes of a request. Raises ConnectionLost when the client must see no answer."""
        with self._lock:
            self.seen[request.operation] += 1
            rules = list(self._rules)
        return _through(rules, forward, request)


def _through(rules: list[Rule], forward: Forward, request: Request) -> Answer:
    for number, rule in enumerate(rules):
        if rule.takes(request, time.monotonic()):
            return rule.fault(request, functools.partial(_through, rules[number + 1 :], forward))
    return forward(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error here."""


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one write an answer
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self._upstreams: dict[str, http.client.HTTPConnection] = {}

        def finish(self) -> None:
            for connection in self._upstreams.values():
                connection.close()
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def handle_expect_100(self) -> bool:
            told = super().handle_expect_100()
            self.wfile.flush()
            return told

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            try:
                self._reply(proxy.answer(request, self._forward))
            except ConnectionLost:
                self.close_connection = True
                linger = struct.pack("ii", 1, 0)  # close() then sends a reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_request  # noqa: N815 - http.server's names

        def _forward(self, request: Request) -> Answer:
            upstream = proxy.upstreams.get(request.service, proxy.upstream)
            headers = {name: value for name, value in request.headers.items() if name not in {"connection", "expect"}}
            headers["content-length"] = str(len(request.body))
            for is_last in (False, True):
                connection = self._upstreams.get(upstream)
                if connection is None:
                    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
                    connection.connect()
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._upstreams[upstream] = connection
                try:
                    connection.request(request.method, request.target, request.body, headers)
                    told = connection.getresponse()
                except (OSError, http.client.HTTPException):  # an idle connection that the endpoint closed meanwhile
                    self._upstreams.pop(upstream).close()
                    if is_last:
                        raise ConnectionLost from None
                else:
                    kept = [h for h in told.getheaders() if h[0].lower() not in _OF_ONE_CONNECTION]
                    if request.method == "HEAD" and (length := told.getheader("Content-Length")):
                        kept.append(("Content-Length", length))
                    return Answer(told.status, tuple(kept), told.read())
            raise AssertionError

        def _reply(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
            else:
                self.end_headers()
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
