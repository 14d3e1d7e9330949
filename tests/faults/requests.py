"""Which service and operation an HTTP request to an AWS endpoint means: `dynamodb:BatchWriteItem`, `s3:UploadPart`, …

Kinesis and DynamoDB say it in the header X-Amz-Target; S3 in method, path and query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_TARGETS = {"DynamoDB": "dynamodb", "Kinesis": "kinesis"}


@dataclass(frozen=True)
class Request:
    """One request, read whole.

    Attributes:
        method, target: of the request line; the target is path and query.
        headers: names in lower case.
        body: as it came.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def service(self) -> str:
        """'dynamodb', 'kinesis', 's3', or '' for what is none of them."""
        return self.operation.partition(":")[0]

    @property
    def operation(self) -> str:
        """service:Operation; 'other:' and the path for what is no AWS call (health pages)."""
        if target := self.headers.get("x-amz-target", ""):
            prefix, _, name = target.rpartition(".")
            return f"{_TARGETS.get(prefix.partition('_')[0], 'other')}:{name}"
        parts = urlsplit(self.target)
        if parts.path.startswith("/_"):
            return f"other:{parts.path}"
        return f"s3:{self._s3(parts.path, set(parse_qs(parts.query, keep_blank_values=True)))}"

    def _s3(self, path: str, query: set[str]) -> str:
        upload, part, is_bucket = "uploadId" in query, "partNumber" in query, path.strip("/").count("/") == 0
        if self.method == "POST":
            if "delete" in query:
                return "DeleteObjects"
            return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload" if upload else "POST"
        if self.method == "PUT":
            if part:
                return "UploadPart"
            return "CreateBucket" if is_bucket else "CopyObject" if "x-amz-copy-source" in self.headers else "PutObject"
        if self.method == "DELETE":
            return "AbortMultipartUpload" if upload else "DeleteBucket" if is_bucket else "DeleteObject"
        if is_bucket:
            return {"GET": "ListObjects", "HEAD": "HeadBucket"}.get(self.method, self.method)
        return {"GET": "GetObject", "HEAD": "HeadObject"}.get(self.method, self.method)


@dataclass(frozen=True)
class Answer:
    """One answer, read whole; headers are kept as they came, but for those that belong to one connection."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_body(self, body: bytes) -> Answer:
        """The same answer around another body: length and checksums would be wrong."""
        dropped = {"content-length", "x-amz-crc32", "etag"}
        return Answer(self.status, tuple(h for h in self.headers if h[0].lower() not in dropped), body)
