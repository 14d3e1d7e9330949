"""The account of law 1: every record in leaves by one named exit. Read from what was stored, not from counters.

    records in = counted + duplicate + malformed + future + too_late + window_closed
    raw/*        account/*           quarantine/reason=*/*

The files are written exactly once, so their rows are the truth after any number of restarts. An account covers a
period: the files that are there now and were not when the book was opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flink_app.archive import ArchiveStore, EmptyArchiveError
from flink_app.properties import Properties

REJECT_REASONS: Final = ("malformed", "future", "too_late", "window_closed")


@dataclass(frozen=True)
class Account:
    """Records by where they went.

    Attributes:
        records_in: rows of the raw archive.
        counted, duplicate: by the windows' own books.
        live_rows, final_rows: rows that the windows wrote; no exit of records.
        malformed, future, too_late, window_closed: rows of the quarantine.
    """

    records_in: int = 0
    counted: int = 0
    duplicate: int = 0
    malformed: int = 0
    future: int = 0
    too_late: int = 0
    window_closed: int = 0
    live_rows: int = 0
    final_rows: int = 0

    @property
    def exits(self) -> Mapping[str, int]:
        """Every exit by name."""
        return {name: getattr(self, name) for name in ("counted", "duplicate", *REJECT_REASONS)}

    @property
    def is_balanced(self) -> bool:
        """Law 1."""
        return self.records_in == sum(self.exits.values())

    def lines(self) -> list[str]:
        """The account as a person reads it."""
        width = max(len(f"{self.records_in:,}"), 9)
        rows = [f"  {name:<14}{count:>{width},}" for name, count in self.exits.items()]
        missing = self.records_in - sum(self.exits.values())
        verdict = "balanced" if self.is_balanced else f"NOT balanced: {missing:,} records have no exit"
        return [f"  {'records in':<14}{self.records_in:>{width},}", *rows, f"  {verdict}"]


class AccountBook:
    """Opened before a run, it knows which files belong to the run afterwards.

    Args:
        properties: of the job; the paths of its sinks, or of the archive it reads.
    """

    def __init__(self, properties: Properties) -> None:
        aws = properties.aws
        replay = properties.source.kind == "archive"
        self._records = ArchiveStore(
            properties.source.path if replay else properties.archive.path, aws.region, aws.endpoint
        )
        self._quarantine = ArchiveStore(properties.quarantine.path, aws.region, aws.endpoint)
        self._account = ArchiveStore(properties.account.path, aws.region, aws.endpoint)
        self._known = set(self._files(self._quarantine)) | set(self._files(self._account))
        if not replay:
            self._known |= set(self._files(self._records))

    def close(self) -> Account:
        """The account of everything that was stored since the book was opened."""
        rejected = dict.fromkeys(REJECT_REASONS, 0)
        for file in self._new(self._quarantine):
            reason = re.search(r"reason=(\w+)", file)
            if reason is not None:
                rejected[reason[1]] += self._quarantine.open(file).metadata.num_rows
        booked = dict.fromkeys(("counted", "duplicate", "live_rows", "final_rows"), 0)
        for file in self._new(self._account):
            rows = self._account.open(file).read(list(booked))
            for name in booked:
                booked[name] += sum(rows.column(name).to_pylist())
        records = sum(self._records.open(file).metadata.num_rows for file in self._new(self._records))
        return Account(records, **booked, **rejected)

    def _new(self, store: ArchiveStore) -> list[str]:
        return [file for file in self._files(store) if file not in self._known]

    @staticmethod
    def _files(store: ArchiveStore) -> list[str]:
        try:
            return store.files()
        except EmptyArchiveError:  # nothing written yet
            return []
