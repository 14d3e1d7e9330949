"""Folders of Parquet files, in S3 or here, brought to where a second engine can read them."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from flink_app.aws_clients import client
from flink_app.properties import Aws


def download(path: str, into: Path, aws: Aws) -> int:
    """Copy everything below `s3://…` or `file://…` into a folder, layout kept; returns the number of files."""
    url = urlsplit(path)
    if url.scheme == "file":
        shutil.copytree(url.path, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "_*"))
        return sum(1 for file in into.rglob("*") if file.is_file())
    s3, prefix, files = client("s3", aws.region, aws.endpoint), url.path.strip("/") + "/", 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=url.netloc, Prefix=prefix):
        for item in page.get("Contents", ()):
            target = into / item["Key"][len(prefix) :]
            if item["Size"] and not any(part.startswith((".", "_")) for part in target.relative_to(into).parts):
                target.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(url.netloc, item["Key"], str(target))
                files += 1
    return files
