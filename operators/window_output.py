"""One window file in one bucket: which of its rows are due, and what they look like when they leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from operators.feature_rows import RowMaker, WindowPartial, WindowRows, final_batch, final_schema
from operators.interner import Interner
from operators.packing import ipc_stream
from operators.slices import Slices, Touched
from operators.window_tracker import Changes, Due, WindowTracker

_MOST_ROWS = 8192  # in one batch that leaves: large enough to be cheap, small enough to travel


class WindowOutput:
    """See the module.

    Args:
        slices: where the numbers are.
        position: of the window file within the slices' group.
        customers: names behind the customer codes.
        final_until: windows that end at or before it have been written, live and final, before this object was made.
    """

    def __init__(self, slices: Slices, position: int, customers: Interner, final_until: int) -> None:
        self.spec = slices.specs[position]
        self.slices = slices
        self.tracker = WindowTracker(self.spec, slices.slice_ms, final_until)
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

    def due_live(self, clock: int) -> list[WindowPartial]:
        """The numbers of the live rows that are due; they count as written."""
        bounds = self.slices.bounds()
        if bounds is None or not self.tracker.has_live_rows:
            return []
        return self.partials(self.tracker.due_live(clock, bounds))

    def due_final(self, after: int, until: int) -> list[WindowPartial]:
        """The numbers of the windows with after < end <= until."""
        bounds = self.slices.bounds()
        return [] if bounds is None else self.partials(self.tracker.due_final(after, until, bounds))

    def next_end(self, after: int) -> int | None:
        """The earliest end after `after` of a window that any event is in."""
        bounds = self.slices.bounds()
        return None if bounds is None else self.tracker.next_end(after, bounds)

    def partials(self, due: Iterable[Due]) -> list[WindowPartial]:
        """The numbers of the windows that are due."""
        found = []
        for granularity, end, customers in due:
            partial = self.slices.window(end - granularity.size_ms, end, customers)
            if partial is not None:
                found.append(WindowPartial(granularity, end - granularity.size_ms, end, partial))
        return found

    def rows(self, partials: list[WindowPartial]) -> Iterator[WindowRows]:
        """The rows, in portions."""
        for portion in _in_portions(partials):
            rows = self._maker.rows(portion)
            if rows is not None:
                yield rows

    def final_stream(self, rows: WindowRows) -> bytes:
        """Rows as history stores them, an Arrow IPC stream."""
        return ipc_stream(final_batch(rows, self._final_schema))


def _in_portions(partials: list[WindowPartial]) -> Iterator[list[WindowPartial]]:
    portion: list[WindowPartial] = []
    rows = 0
    for partial in partials:
        portion.append(partial)
        rows += len(partial.partial.codes)
        if rows >= _MOST_ROWS:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion
