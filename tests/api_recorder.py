"""A proxy before the local AWS that writes down which API calls pass, as IAM names their actions.

with ApiRecorder(aws.endpoint) as recorder:
    … "Aws": {"endpoint": recorder.url} …
    recorder.actions                     # {"kinesis:GetRecords", "s3:PutObject", …}
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_SERVICES = {
    "Kinesis_20131202": "kinesis",
    "DynamoDB_20120810": "dynamodb",
    "GraniteServiceVersion20100801": "cloudwatch",
    "secretsmanager": "secretsmanager",
}
_OWN_HEADERS = {"transfer-encoding", "connection", "content-length", "server", "date"}  # the proxy sends these itself


def iam_action(method: str, path: str, headers: Mapping[str, str]) -> str:
    """The action that a policy must allow for a request; S3's from "Actions, resources, and condition keys for S3"."""
    if target := headers.get("X-Amz-Target"):
        service, _, operation = target.partition(".")
        return f"{_SERVICES[service]}:{operation}"
    url = urlsplit(path)
    query = parse_qs(url.query, keep_blank_values=True)
    _, _, key = url.path.lstrip("/").partition("/")
    if not key:
        known = {("HEAD", ""): "s3:ListBucket", ("GET", "location"): "s3:GetBucketLocation"}
        known |= {("GET", "uploads"): "s3:ListBucketMultipartUploads", ("POST", "delete"): "s3:DeleteObject"}
        known |= {("GET", option): "s3:ListBucket" for option in ("list-type", "prefix")}
    else:
        known = {("GET", ""): "s3:GetObject", ("HEAD", ""): "s3:GetObject", ("DELETE", ""): "s3:DeleteObject"}
        known |= {
            ("PUT", ""): "s3:PutObject",
            ("POST", ""): "s3:PutObject",
            ("GET", "uploadId"): "s3:ListMultipartUploadParts",
        }
        known |= {("DELETE", "uploadId"): "s3:AbortMultipartUpload"}
    options = [option for option in (*query, "") if (method, option) in known]
    assert options, f"{method} {path}: which action is this?"
    return known[method, options[0]]


class ApiRecorder:
    """See the module.

    Attributes:
        url: to use instead of the endpoint.
        actions: what passed so far.
    """

    def __init__(self, endpoint: str) -> None:
        self.actions: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(urlsplit(endpoint).netloc, self.actions))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(target: str, actions: set[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.upstream = http.client.HTTPConnection(target)

        def finish(self) -> None:
            self.upstream.close()
            super().finish()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            actions.add(iam_action(self.command, self.path, self.headers))
            self.upstream.request(self.command, self.path, body, headers)
            answer = self.upstream.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OWN_HEADERS:
                    self.send_header(name, value)
            self.send_header(
                "Content-Length",
                answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content)),
            )
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815 http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 http.server's name
            """Quiet."""

    return Handler
