"""The printed account: it balances or says by how much it does not."""

from __future__ import annotations

import pytest

from flink_app.account import Account

EXITS = {"counted": 5, "duplicate": 4, "malformed": 3, "future": 2, "too_late": 1, "window_closed": 6}


@pytest.mark.parametrize(("missing", "verdict"), [(0, "balanced"), (7, "NOT balanced: 7 records have no exit")])
def test_the_account_is_the_sum_of_all_exits(missing, verdict):
    account = Account(records_in=sum(EXITS.values()) + missing, live_rows=99, final_rows=99, **EXITS)
    assert dict(account.exits) == EXITS
    assert account.is_balanced == (missing == 0)
    assert account.lines()[-1].strip() == verdict
    assert [int(line.split()[-1]) for line in account.lines()[1:-1]] == list(EXITS.values())


def test_records_with_two_exits_do_not_balance():
    assert not Account(records_in=sum(EXITS.values()) - 1, **EXITS).is_balanced
