"""One window file in one bucket: which of its rows are due, and what they look like when they leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from operators.feature_rows import RowMaker, Window, WindowRows, final_batch, final_schema
from operators.interner import Interner
from operators.packing import ipc_stream
from operators.slices import Slices, Touched
from operators.window_tracker import Changes, Due, WindowTracker


class WindowOutput:
    """See the module.

    Args:
        slices: where the numbers are.
        position: of the window file within the slices' group.
        customers: names behind the customer codes.
        final_until: windows that end at or before it have been written, live and final, before this object was made.
        writes_live: whether anybody wants live rows.
    """

    def __init__(
        self, slices: Slices, position: int, customers: Interner, final_until: int, *, writes_live: bool = True
    ) -> None:
        self.spec = slices.specs[position]
        self.slices = slices
        self.tracker = WindowTracker(self.spec, slices.slice_ms, final_until, writes_live)
        self._revision = slices.layout.revisions[position]
        self._maker = RowMaker(self.spec, slices.layout, position, customers)
        self._final_schema = final_schema(self.spec)

    def count(self, added: Touched) -> Changes:
        """A batch was added to the slices: slice start -> customers that counted an event there.

        Customers none of whose events passed WHERE have not changed.
        """
        changes: Changes = {}
        for start, partial in added:
            customers = partial.codes[partial.columns[self._revision] > 0]
            self.tracker.changed(start, customers)
            if len(customers):
                changes[start] = [customers]
        return changes

    def live_rows(self, clock: int) -> Iterator[WindowRows]:
        """The live rows that are due, in portions; they count as written."""
        bounds = self.slices.bounds()
        if bounds is not None and self.tracker.has_live_rows:
            yield from self._rows(self.tracker.due_live(clock, bounds))

    def final_rows(self, after: int, until: int) -> Iterator[WindowRows]:
        """The rows of the windows with after < end <= until, in portions."""
        bounds = self.slices.bounds()
        if bounds is not None:
            yield from self._rows(self.tracker.due_final(after, until, bounds))

    def reopened_rows(self, changed: Changes, final_until: int) -> Iterator[WindowRows]:
        """The rows of windows that were final and have counted another event since, in portions."""
        yield from self._rows(self.tracker.reopened(changed, final_until))

    def next_end(self, after: int) -> int | None:
        """The earliest end after `after` of a window that any event is in."""
        bounds = self.slices.bounds()
        return None if bounds is None else self.tracker.next_end(after, bounds)

    def final_stream(self, rows: WindowRows) -> bytes:
        """Rows as history stores them, an Arrow IPC stream."""
        return ipc_stream(final_batch(rows, self._final_schema))

    def _rows(self, due: Iterable[Due]) -> Iterator[WindowRows]:
        windows, customers = [], []
        for granularity, end, some in due:
            windows.append(Window(granularity, end - granularity.size_ms, end))
            customers.append(some)
        wanted = [(window.start, window.end, some) for window, some in zip(windows, customers, strict=True)]
        for numbers in self.slices.windows(wanted):
            rows = self._maker.rows(windows, numbers)
            if rows is not None:
                yield rows
