"""The gate: every record leaves by one exit, with its bytes; what does not fit is named; nothing makes it raise."""

from __future__ import annotations

import json
import pickle
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators import packing
from operators.contract import Column, Contract
from operators.event_fields import field_of
from operators.gate import EXITS, Admission, Gate
from operators.masking import Masker

KEY = "a key of 20 letters!"
L = 120_000
CONTRACT = Contract(
    table="events",
    columns=(
        Column("event_id", "STRING", nullable=False),
        Column("customer_id", "STRING", nullable=False),
        Column("merchant_id", "STRING", nullable=False),
        Column("amount", "DECIMAL(12, 2)", nullable=False),
        Column("event_time", "TIMESTAMP_LTZ(3)", nullable=False),
        Column("email", "STRING", pii=True),
        Column("card_present", "BOOLEAN"),
        Column("visits", "INT"),
        Column("points", "BIGINT"),
        Column("score", "DOUBLE"),
        Column("fee", "DECIMAL(4, 4)"),
        Column("issued", "TIMESTAMP_LTZ(3)"),
    ),
    lateness_ms=L,
)
SCHEMA = packing.event_schema(CONTRACT)
BUCKETS = (3, 11, 40)
NOON = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)
PAYMENT = {
    "event_id": "e1",
    "customer_id": "c1",
    "merchant_id": "m1",
    "amount": 12.34,
    "event_time": "2026-01-31T12:00:00Z",
}
GATE = Gate(CONTRACT, KEY, BUCKETS)


def record(**fields: Any) -> bytes:
    return json.dumps({**PAYMENT, **fields}).encode()


def literally(**fields: str) -> bytes:
    """A payment whose named fields are these JSON texts, character by character."""
    texts = {name: json.dumps(value) for name, value in PAYMENT.items()} | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()


def admit(*records: bytes | None, arrival: int = NOON, gate: Gate = GATE) -> Admission:
    arrivals = np.full(len(records), arrival, np.int64)
    sequence = [str(at) for at in range(len(records))]
    admission = gate.admit(list(records), arrivals, ["shard-0"] * len(records), sequence)
    assert sum(admission.counts.values()) == len(records)
    assert sum(packing.unpack_raw(blob).num_rows for _, blob in admission.batches) == admission.counts["accepted"]
    rejected = admission.rejects.num_rows if admission.rejects is not None else 0
    assert rejected == len(records) - admission.counts["accepted"]
    return admission


def rejects_of(admission: Admission) -> list[dict[str, Any]]:
    return [] if admission.rejects is None else list(admission.rejects.to_pylist())


def accepted(*records: bytes) -> list[dict[str, Any]]:
    """The accepted events in arrival order (by their sequence numbers)."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for _, blob in admit(*records).batches:
        sequence = packing.unpack_raw(blob).column(3).to_pylist()
        rows += zip(map(int, sequence), packing.unpack_events(blob, SCHEMA).to_pylist(), strict=True)
    return [row for _, row in sorted(rows, key=lambda row: row[0])]


def detail(broken: bytes | None) -> str:
    """What quarantine says about one malformed record; it says the same when others surround it."""
    alone = admit(broken)
    among = admit(record(), broken, literally(amount='"1"'), record())
    assert alone.counts == dict.fromkeys(EXITS, 0) | {"malformed": 1}
    assert among.counts == dict.fromkeys(EXITS, 0) | {"malformed": 2, "accepted": 2}
    row = rejects_of(alone)[0]
    assert row["reason"] == "malformed"
    assert row["data"] == (broken or b"")
    assert rejects_of(among)[0]["detail"] == row["detail"]
    return str(row["detail"])


# ---- values that fit


def test_an_accepted_event_has_the_contracts_columns_its_identity_and_its_arrival() -> None:
    mail = "jürgen@example.com"
    values = {"visits": -7, "points": 2**53 + 1, "score": 1, "card_present": False, "email": mail, "unknown": [1]}
    (event,) = accepted(record(**values, issued="1969-12-31T23:59:59.9999+00:00", fee=0.5))

    expected = {
        "event_id": "e1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": Decimal("12.34"),
        "event_time": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "card_present": False,
        "visits": -7,
        "points": 2**53 + 1,
        "score": 1.0,
        "fee": Decimal("0.5000"),
        "email": Masker(KEY).mask([mail])[0],
        "issued": datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    }
    assert {name: event[name] for name in CONTRACT.names} == expected
    assert int(event["_arrival"].timestamp() * 1000) == NOON


def test_nullable_fields_may_be_null_or_absent() -> None:
    nullable = [column.name for column in CONTRACT.columns if column.nullable]
    for event in accepted(record(**dict.fromkeys(nullable)), record()):
        assert [event[name] for name in nullable] == [None] * len(nullable)


def test_a_nullable_column_is_one_line_in_the_contract() -> None:
    wider = Contract("events", (*CONTRACT.columns, Column("loyalty-tier", "STRING")), L)
    gate = Gate(wider, KEY, BUCKETS)
    admission = admit(record(**{"loyalty-tier": "gold"}), record(), gate=gate)

    events = packing.unpack_events(admission.batches[0][1], packing.event_schema(wider))
    assert events.column("loyalty-tier").to_pylist() == ["gold", None]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *[("12.340", "12.34"), ("12.3400000000000000000000000000000000000000000000", "12.34"), ("1e2", "100")],
        *[("1234e-2", "12.34"), ("12340e-3", "12.34"), ("0", "0"), ("-0.00", "0"), ("-0.01", "-0.01")],
        *[("9999999999.99", "9999999999.99"), ("-9999999999.990", "-9999999999.99"), ("0e999999999999999999999", "0")],
        *[("0.1E+1", "1"), ("0.30", "0.30"), ("0.29", "0.29"), ("1" + "0" * 50 + "e-50", "1")],
    ],
)
def test_an_amount_fits_when_nothing_is_lost(text: str, amount: str) -> None:
    events = accepted(literally(amount=text), literally(amount="7.77"))
    assert [event["amount"] for event in events] == [Decimal(amount), Decimal("7.77")]


@pytest.mark.parametrize(
    "text",
    [
        *["12.345", "12.3400000000000000000000000000000000000000000001", "10000000000", "9999999999.995", "1e10"],
        *["1e999999999", "1e-999999999", "-1e-3", "1e99999999999999999999999", "1e-99999999999999999999999"],
    ],
)
def test_an_amount_with_more_digits_than_its_decimal_is_malformed(text: str) -> None:
    assert detail(literally(amount=text)) == f"amount: {text} does not fit DECIMAL(12, 2)"


def test_a_decimal_without_digits_before_the_point_takes_fractions_only() -> None:
    events = accepted(*[literally(fee=text) for text in ("0.1234", "0", "-0.5", "null", "1e-4", "0.50000")])
    fees = [Decimal("0.1234"), Decimal(0), Decimal("-0.5"), None, Decimal("0.0001"), Decimal("0.5")]
    assert [event["fee"] for event in events] == fees
    assert detail(literally(fee="1")) == "fee: 1 does not fit DECIMAL(4, 4)"
    assert detail(literally(fee="0.12345")) == "fee: 0.12345 does not fit DECIMAL(4, 4)"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.from_regex(r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?", fullmatch=True), min_size=1)
)
def test_amounts_are_judged_exactly_by_their_text(texts: list[str]) -> None:
    cents = [Fraction(text) * 100 for text in texts]
    events = accepted(*[literally(amount=text) for text in texts])
    fitting = [number for number in cents if number.denominator == 1 and abs(number) < 10**12]
    assert [Fraction(event["amount"]) * 100 for event in events] == fitting


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        *[("2026-01-31T12:00:00Z", NOON), ("2026-01-31T13:00:00+01:00", NOON), ("2026-01-31T06:30:00-05:30", NOON)],
        *[("2026-01-31T12:00:00.5Z", NOON + 500), ("2026-01-31T12:00:00.123456Z", NOON + 123)],
        *[("2026-01-31T12:00:00.9999999Z", NOON + 999), ("2026-01-31T12:00:00.999999999+00:00", NOON + 999)],
        *[("2026-01-31T12:00:00." + "9" * 40 + "Z", NOON + 999), ("2026-02-01T11:59:00+23:59", NOON)],
    ],
)
def test_times_are_rfc_3339_and_cut_to_the_millisecond(text: str, moment: int) -> None:
    events = accepted(record(event_time=text), record())
    assert [round(event["event_time"].timestamp() * 1000) for event in events] == [moment, NOON]


def test_the_cut_goes_toward_the_past_and_years_1_to_9999_are_known() -> None:
    texts = [
        "1969-12-31T23:59:59.9999999Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "1600-01-01T00:00:00Z",
    ]
    admission = admit(*[record(issued=text) for text in texts])
    issued = packing.unpack_events(admission.batches[0][1], SCHEMA).column("issued").cast(pa.int64()).to_pylist()
    assert issued == [-1, -62_135_596_800_000, 253_402_300_799_999, -11_676_096_000_000]


@pytest.mark.parametrize(
    "text",
    [
        *["2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-01-31t12:00:00z", "2026-01-31T12:00Z", "2026-01-31"],
        *["2026-01-31T12:00:00+0100", "2026-01-31T12:00:00+01", "20260131T120000Z", "99999-01-01T00:00:00Z"],
        *["2026-01-31T24:00:00Z", "2026-01-31T23:59:60Z", "2026-13-01T00:00:00Z", "2026-01-31T12:00:00.Z", ""],
        *["2026-01-31T12:00:00Z\n", " 2026-01-31T12:00:00Z", "2026-01-31T12:00:00+24:00", "-2026-01-31T12:00:00Z"],
        *["2026-01-31T12:00:00,5Z", "٢٠٢٦-01-31T12:00:00Z", "1769860800000", "now", "2026-01-31T12:00:00Z\x00"],
    ],
)
def test_other_ways_to_write_a_time_are_malformed(text: str) -> None:
    said = detail(record(event_time=text))
    assert said.startswith("event_time: ")
    assert "is not a time like" in said


@pytest.mark.parametrize(
    "text", ["2026-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"]
)
def test_times_that_do_not_exist_or_leave_the_calendar_are_malformed(text: str) -> None:
    assert detail(record(event_time=text)).endswith("does not exist or lies outside the years 1 to 9999")
    assert detail(record(issued=text)).startswith("issued: ")


def test_a_time_is_accepted_exactly_on_the_days_that_the_calendar_has():
    field = field_of(Column("issued", "TIMESTAMP_LTZ(3)"))
    years = [*range(1, 9_999, 101), 1900, 2000, 2024, 2100]
    texts = [f"{y:04}-{m:02}-{d:02}T12:00:00.123456789Z" for y in years for m in range(14) for d in range(33)]

    def on_the_calendar(text: str) -> datetime | None:
        try:
            return datetime.fromisoformat(text[:23] + "+00:00")
        except ValueError:
            return None

    expected = [on_the_calendar(text) for text in texts]
    column, misfit = field.column(texts)
    assert column.to_pylist() == expected
    assert misfit is not None
    assert misfit.tolist() == [moment is None for moment in expected]


# ---- values that do not fit


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("amount", '"12.34"', "got a string, wanted DECIMAL(12, 2)"),
        ("amount", "true", "got a boolean, wanted DECIMAL(12, 2)"),
        ("amount", "[1]", "got an array, wanted DECIMAL(12, 2)"),
        ("amount", '{"a":"\\u0000,"}', "got an object, wanted DECIMAL(12, 2)"),
        ("amount", "null", "null, but NOT NULL"),
        ("fee", '"0.1"', "got a string, wanted DECIMAL(4, 4)"),
        ("merchant_id", "7", "got a number, wanted STRING"),
        ("merchant_id", "null", "null, but NOT NULL"),
        ("event_time", "1769860800000", "got a number, wanted TIMESTAMP_LTZ(3)"),
        ("card_present", "1", "got a number, wanted BOOLEAN"),
        ("card_present", '"true"', "got a string, wanted BOOLEAN"),
        ("visits", "true", "got a boolean, wanted INT"),
        ("visits", '"7"', "got a string, wanted INT"),
        ("visits", "1.0", "1.0 does not fit INT"),
        ("visits", "1e2", "1e2 does not fit INT"),
        ("visits", "2147483648", "2147483648 does not fit INT"),
        ("visits", "-2147483649", "-2147483649 does not fit INT"),
        ("points", "9223372036854775808", "9223372036854775808 does not fit BIGINT"),
        ("points", "-9223372036854775809", "-9223372036854775809 does not fit BIGINT"),
        ("points", "9" * 5_000, "does not fit BIGINT"),
        ("score", "1e400", "1e400 does not fit DOUBLE"),
        ("score", '"NaN"', "got a string, wanted DOUBLE"),
        ("event_id", '""', "0 bytes; a key has at least 1"),
        ("customer_id", '""', "0 bytes; a key has at least 1 and at most 2048"),
        ("customer_id", '"' + "ü" * 1_025 + '"', "2050 bytes; a key has at least 1 and at most 2048"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_named(field: str, text: str, said: str) -> None:
    got = detail(literally(**{field: text}))
    assert got.startswith(f"{field}: ")
    assert said in got
    assert len(got) < 200


def test_the_ends_of_the_integer_ranges_and_the_longest_customer_fit() -> None:
    ends = {"visits": "-2147483648", "points": "9223372036854775807", "score": "1.7976931348623157e308"}
    (event,) = accepted(literally(**ends, customer_id='"' + "ü" * 1_024 + '"'))
    assert (event["visits"], event["points"], event["score"]) == (-(2**31), 2**63 - 1, 1.7976931348623157e308)


def test_a_missing_field_is_named() -> None:
    for name in PAYMENT:
        payment = {field: value for field, value in PAYMENT.items() if field != name}
        assert detail(json.dumps(payment).encode()) == f"{name}: missing, but NOT NULL"


def test_a_masked_value_is_never_shown() -> None:
    masked = Contract("events", (*CONTRACT.columns[:5], Column("secret", "STRING", nullable=False, pii=True)), L)
    gate = Gate(masked, KEY, BUCKETS)
    for text in ("4111111111111111", '["4111111111111111"]', '"4111111111111111\\ud800"', "4111111111111111x", "null"):
        said = rejects_of(admit(literally(secret=text), gate=gate))[0]["detail"]
        assert "4111" not in said


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        *[
            (b"", "not JSON"),
            (None, "not JSON"),
            (b"oops", "not JSON"),
            (b"{}x", "not JSON"),
            (b"\x00" * 9, "not JSON"),
        ],
        *[(b"[]", "not a JSON object but an array"), (b' "x"', "not a JSON object but a string")],
        *[(b"null", "not a JSON object but null"), (b"3", "not a JSON object but a number")],
        (record()[:-1], "not JSON"),
        (record()[:-1] + b",}", "not JSON"),
        (b"\xef\xbb\xbf" + record(), "not JSON"),
        (record().decode().encode("utf-16"), "not UTF-8: byte 0 is 0xff"),
        (record(unknown="ü").replace(b"\\u00fc", b"\xfc"), "not UTF-8: byte "),
        (record().replace(b"m1", b"\xed\xa0\x80"), "not UTF-8: byte "),
        (literally(merchant_id='"\\ud800"'), "lone surrogate"),
        (literally(unknown='"\\udc00x"'), "lone surrogate"),
        (literally(score="NaN"), "not JSON"),
        (literally(score="-Infinity"), "not JSON"),
        (literally(amount="01"), "not JSON"),
        (literally(amount="1."), "not JSON"),
        (literally(unknown="[" * 64 + "]" * 64), "nested deeper than 64 levels"),
        (literally(unknown='{"a":' * 100_000 + "1" + "}" * 100_000), "nested deeper than 64 levels"),
        (b"[" * 500_000, "nested deeper than 64 levels"),
        (b'"\\"' + b'\\"' * 200_000 + b"[" * 100, "not JSON"),
    ],
)
def test_a_record_that_is_no_json_object_is_malformed(broken: bytes | None, said: str) -> None:
    assert said in detail(broken)


def test_nesting_within_the_limit_and_brackets_in_strings_are_fine() -> None:
    nested = literally(unknown="[" * 63 + "]" * 63)
    assert (
        len(accepted(nested, record(unknown="[" * 500), record(unknown='\\"' + "{" * 500), record(many=[[]] * 500)))
        == 4
    )


@pytest.mark.parametrize("neighbour", [b"", b"1", b"[", record(), record(unknown=[[[]]])], ids=range(5))
@pytest.mark.parametrize("number", [1, 100])
def test_nesting_is_seen_whatever_is_beside_it(neighbour: bytes, number: int) -> None:
    deep = literally(unknown="[" * 64 + "]" * 64)
    for at in (0, number):
        others = [neighbour] * number
        rejects = rejects_of(admit(*others[:at], deep, *others[at:]))
        assert {row["data"]: row["detail"] for row in rejects}[deep] == "nested deeper than 64 levels"


def test_of_a_repeated_field_the_last_counts() -> None:
    (event,) = accepted(record()[:-1] + b',"merchant_id":"m2","amount":1}')
    assert (event["merchant_id"], event["amount"]) == ("m2", Decimal(1))
    assert "repeated" in detail(b'{"merchant_id":7,' + record()[1:])


# ---- lateness
#
#              arrival - L             arrival          arrival + 5 s
#   too_late ─────[═══════════ accepted ══╪═══════════════════]───── future


@pytest.mark.parametrize(
    ("late_by_ms", "exit_name"),
    [
        *[(L - 1, "accepted"), (L, "accepted"), (L + 1, "too_late"), (10**12, "too_late")],
        *[(0, "accepted"), (-4_999, "accepted"), (-5_000, "accepted"), (-5_001, "future"), (-(10**12), "future")],
    ],
)
def test_both_bounds_of_lateness_belong_to_the_accepted(late_by_ms: int, exit_name: str) -> None:
    admission = admit(record(), arrival=NOON + late_by_ms)
    assert admission.counts[exit_name] == 1
    if admission.rejects is not None:
        row = admission.rejects.to_pylist()[0]
        assert row["reason"] == exit_name
        assert row["detail"].startswith(f"event_time: {abs(late_by_ms)} ms ")


def test_lateness_is_judged_to_the_millisecond_that_is_kept() -> None:
    assert admit(record(event_time="2026-01-31T12:00:00.0009999Z"), arrival=NOON + L).counts["accepted"] == 1
    assert admit(record(event_time="2026-01-31T11:59:59.9999999Z"), arrival=NOON + L).counts["too_late"] == 1
    assert admit(record(event_time="2026-01-31T12:00:05.0009999Z")).counts["accepted"] == 1


def test_a_malformed_record_is_malformed_however_late_it_is() -> None:
    assert admit(record(amount="x"), arrival=NOON + 2 * L).counts["malformed"] == 1


# ---- what leaves


def test_a_customer_is_always_in_the_same_bucket_and_arrival_order_holds_inside() -> None:
    records = [record(event_id=f"e{at}", customer_id=f"c{at * 7 % 50}é") for at in range(1_000)]
    records[::97] = [b"broken"] * len(records[::97])
    admission = admit(*records)

    assert [bucket for bucket, _ in admission.batches] == list(BUCKETS)
    for bucket, blob in admission.batches:
        events, raw = packing.unpack_events(blob, SCHEMA), packing.unpack_raw(blob)
        customers = events.column("customer_id").to_pylist()
        assert {BUCKETS[zlib.crc32(customer.encode()) % len(BUCKETS)] for customer in customers} == {bucket}
        order = [int(number) for number in raw.column(3).to_pylist()]
        assert order == sorted(order)
        assert events.column("event_id").to_pylist() == [f"e{at}" for at in order]
        assert raw.column(0).to_pylist() == [records[at] for at in order]


def test_an_identity_is_the_pair_of_customer_and_event_and_stays_what_it_was() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("1:a", "b"), ("1", ":ab"), ("a", "bc")]
    events = accepted(*[record(customer_id=customer, event_id=event) for customer, event in pairs])
    identities = [(event["_id_hi"], event["_id_lo"]) for event in events]

    assert len(set(identities)) == len(pairs) - 1
    assert identities[0] == identities[-1]
    assert identities[0] == (413627487779993647, 4570767868369235952)  # event logs are written with it


def test_rejects_keep_their_bytes_their_origin_and_their_order() -> None:
    broken = [
        b"\x00\xff\xfe",
        record(),
        b"{",
        record(event_time="2026-01-31T11:00:00Z"),
        record(event_time="2027-01-01T00:00:00Z"),
    ]
    rejects = rejects_of(admit(*broken))

    assert [row["data"] for row in rejects] == [broken[0], *broken[2:]]
    assert [row["sequence_number"] for row in rejects] == ["0", "2", "3", "4"]
    assert [row["reason"] for row in rejects] == ["malformed", "malformed", "too_late", "future"]
    assert packing.read_ipc_stream(packing.ipc_stream(admit(*broken).rejects)).to_pylist() == rejects


def test_no_records_are_no_batches_and_no_rejects() -> None:
    assert admit() == Admission([], None, dict.fromkeys(EXITS, 0))


def test_arrow_columns_give_what_lists_give() -> None:
    records = [b"x", record(customer_id="c9"), None, record(), b""]
    arrivals = np.full(5, NOON, np.int64)
    lists = GATE.admit(records, arrivals, ["s"] * 5, [None] * 5)
    shifted = pa.array([b"before", *records], pa.binary()).slice(1)
    chunked = pa.chunked_array([records[:2], records[2:]], pa.binary())
    for data in (pa.array(records, pa.binary()), shifted, chunked, pa.array(records, pa.large_binary())):
        arrow = GATE.admit(data, arrivals, pa.array(["s"] * 5), pa.nulls(5))
        assert arrow.batches == lists.batches
        assert rejects_of(arrow) == rejects_of(lists)


def test_the_gate_hides_its_key_and_pickles() -> None:
    copy = pickle.loads(pickle.dumps(GATE))
    assert KEY not in repr(GATE)
    assert admit(record(email="a@b.c"), gate=copy).batches == admit(record(email="a@b.c")).batches


def test_a_gate_without_a_proper_key_or_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="masking key has 5 characters"):
        Gate(CONTRACT, "short", BUCKETS)
    with pytest.raises(ValueError, match="at least one bucket"):
        Gate(CONTRACT, KEY, ())
    unmasked = Contract("events", CONTRACT.columns[:5], L)
    assert admit(record(), gate=Gate(unmasked, "", BUCKETS)).counts["accepted"] == 1


# ---- anything


TEXT = record(
    email="a@b.c", visits=1, score=0.5, issued="2026-01-31T12:00:00+01:00", fee=0.25, unknown={"a": [1, None]}
)
FRAGMENTS = [
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xed\xa0\x80",
    b"null",
    b"1e999999999",
    b"1e-999999999",
    b"[",
    b'"',
    b"{}",
]
FRAGMENTS += [
    b"-",
    b"0",
    b"NaN",
    b"2026-02-30T00:00:00Z",
    b"0000-01-01T00:00:00Z",
    b"\xf0\x9f\x98\x80",
    b"\\",
    b"9" * 50,
    b",",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A payment with pieces of it replaced by pieces that have broken parsers."""
    text = TEXT
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        piece = draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=3))
        text = text[:start] + piece + text[end:]
    return text


def odd_values() -> st.SearchStrategy[bytes]:
    """Payments whose fields hold any JSON value."""
    value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
    fields = st.dictionaries(st.sampled_from(CONTRACT.names), value)
    return fields.map(lambda odd: record(**odd))


@settings(max_examples=120, deadline=None)
@given(st.lists(st.binary(max_size=40) | mutated() | odd_values(), max_size=12))
@example([literally(amount="1e-999999999")])  # Arrow 11 crashes the process on it
def test_whatever_arrives_every_record_leaves_by_one_exit_with_its_bytes(records: list[bytes]) -> None:
    admission = admit(*records)

    left: dict[str, bytes] = {}
    for _, blob in admission.batches:
        events, raw = packing.unpack_events(blob, SCHEMA), packing.unpack_raw(blob)
        events.validate(full=True)
        left |= dict(zip(raw.column(3).to_pylist(), raw.column(0).to_pylist(), strict=True))
    if admission.rejects is not None:
        admission.rejects.validate(full=True)
        assert all(admission.rejects.column("detail").to_pylist())
        columns = (admission.rejects.column(name).to_pylist() for name in ("sequence_number", "data"))
        left |= dict(zip(*columns, strict=True))
    assert left == {str(at): sent for at, sent in enumerate(records)}


@settings(max_examples=40, deadline=None)
@given(st.lists(mutated() | odd_values(), min_size=2, max_size=8))
def test_a_records_exit_does_not_depend_on_its_neighbours(records: list[bytes]) -> None:
    alone = [row["detail"] for each in records for row in rejects_of(admit(each))]
    assert [row["detail"] for row in rejects_of(admit(*records))] == alone
