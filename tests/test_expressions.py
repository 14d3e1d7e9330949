"""Expression trees on Arrow columns: NULL logic, rounding, division, text. No Flink (the referee compares with it)."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pyarrow as pa
import pytest

from operators.expressions import Call, Column, Literal, Unsupported, columns_of, compile_expression, text_of

D = Decimal
MONEY, INT, BOOL, DOUBLE, TEXT = pa.decimal128(12, 2), pa.int32(), pa.bool_(), pa.float64(), pa.string()
COLUMNS = [
    pa.array([D("1.25"), D("-7.50"), None, D("0.00")], MONEY),
    pa.array([7, -7, None, -(2**31)], INT),
    pa.array([True, False, None, True], BOOL),
    pa.array([1.5, None, 0.0, -2.25], DOUBLE),
    pa.array(["abc", "ß", None, ""], TEXT),
]
AMOUNT, NUMBER, FLAG, RATIO, NAME = (Column(i, column.type) for i, column in enumerate(COLUMNS))


def run(name, result, *operands):
    call = pickle.loads(pickle.dumps(Call(name, operands, result)))
    values = compile_expression(call)(COLUMNS, 4)
    assert (values.type, len(values)) == (result, 4)
    return values.to_pylist()


@pytest.mark.parametrize(
    ("name", "result", "operands", "expected"),
    [
        (
            "*",
            pa.decimal128(22, 2),
            (AMOUNT, Literal(2, INT)),
            [D("2.50"), D("-15.00"), None, D("0.00")],
        ),
        (
            "/",
            pa.decimal128(23, 3),
            (AMOUNT, Literal(3, INT)),
            [D("0.417"), D("-2.500"), None, D("0.000")],
        ),
        ("CAST", pa.decimal128(12, 1), (AMOUNT,), [D("1.3"), D("-7.5"), None, D("0.0")]),
        ("CAST", pa.decimal128(2, 2), (AMOUNT,), [None, None, None, D("0.00")]),
        ("CAST", INT, (AMOUNT,), [1, -7, None, 0]),
        ("CAST", TEXT, (AMOUNT,), ["1.25", "-7.50", None, "0.00"]),
        ("/", INT, (NUMBER, Literal(2, INT)), [3, -3, None, -(2**30)]),
        ("/", INT, (NUMBER, Literal(-1, INT)), [-7, 7, None, -(2**31)]),
        ("+", INT, (NUMBER, Literal(-10, INT)), [-3, -17, None, 2**31 - 10]),
        ("%", INT, (NUMBER, Literal(4, INT)), [3, -3, None, 0]),
        (">", BOOL, (AMOUNT, Literal(D("1.2"), pa.decimal128(2, 1))), [True, False, None, False]),
        (">", BOOL, (AMOUNT, RATIO), [False, None, None, True]),
        ("AND", BOOL, (FLAG, Literal(None, BOOL)), [None, False, None, None]),
        ("OR", BOOL, (FLAG, Literal(None, BOOL)), [True, None, None, True]),
        ("IS NOT TRUE", BOOL, (FLAG,), [False, True, True, False]),
        (
            "CASE",
            MONEY,
            (FLAG, AMOUNT, Literal(D(1), MONEY)),
            [D("1.25"), D("1.00"), D("1.00"), D("0.00")],
        ),
        ("COALESCE", TEXT, (NAME, Literal("none", TEXT)), ["abc", "ß", "none", ""]),
        ("GREATEST", MONEY, (AMOUNT, Literal(1, INT)), [D("1.25"), D("1.00"), None, D("1.00")]),
        ("UPPER", TEXT, (NAME,), ["ABC", "SS", None, ""]),
        ("LIKE", BOOL, (NAME, Literal("a_c%", TEXT)), [True, False, None, False]),
        ("SUBSTRING", TEXT, (NAME, Literal(2, INT)), ["bc", "", None, ""]),
        ("||", TEXT, (NAME, Literal("!", TEXT)), ["abc!", "ß!", None, "!"]),
        (
            "ROUND",
            pa.decimal128(12, 1),
            (AMOUNT, Literal(1, INT)),
            [D("1.3"), D("-7.5"), None, D("0.0")],
        ),
        ("ROUND", DOUBLE, (RATIO, Literal(0, INT)), [2.0, None, 0.0, -2.0]),
    ],
)
def test_functions_follow_sql(name, result, operands, expected):
    assert run(name, result, *operands) == expected


def test_an_exact_division_by_zero_is_null_and_a_double_one_is_infinite():
    assert run("/", INT, NUMBER, Literal(0, INT)) == [None] * 4
    assert run("/", pa.decimal128(27, 15), AMOUNT, AMOUNT)[3] is None
    assert run("/", DOUBLE, RATIO, Literal(0.0, DOUBLE))[0] == float("inf")


def test_decimals_beyond_64_bits_stay_exact():
    wide = pa.decimal128(38, 2)
    column = pa.array([D("123456789012345678901234567890.12"), None, D("-99999999999999999999.99")], wide)
    doubled = compile_expression(Call("+", (Column(0, wide), Column(0, wide)), wide))([column], 3)
    assert doubled.to_pylist() == [
        D("246913578024691357802469135780.24"),
        None,
        D("-199999999999999999999.98"),
    ]
    squared = compile_expression(Call("*", (Column(0, wide), Column(0, wide)), wide))([column], 3)
    assert squared.to_pylist() == [None, None, None]  # 39 digits and more: NULL, as in Flink


def test_sliced_and_empty_columns_work():
    total = compile_expression(Call("+", (AMOUNT, AMOUNT), MONEY))
    assert total([COLUMNS[0][1:3]], 2).to_pylist() == [D("-15.00"), None]
    assert total([COLUMNS[0][:0]], 0).to_pylist() == []


def test_constants_fill_every_row():
    assert compile_expression(Call("+", (Literal(1, INT), Literal(2, INT)), INT))([], 3).to_pylist() == [3, 3, 3]
    assert compile_expression(Literal(None, MONEY))([], 2).to_pylist() == [None, None]


def test_columns_of_and_text_of_see_the_whole_tree():
    tree = Call("AND", (FLAG, Call(">", (AMOUNT, Literal(1, INT)), BOOL)), BOOL)
    assert columns_of(tree) == {0, 2}
    assert text_of(tree) == "AND($2, >($0, 1))"


@pytest.mark.parametrize(
    ("name", "result", "operands"),
    [
        ("MD5", TEXT, (NAME,)),
        ("CAST", INT, (NAME,)),
        ("CAST", TEXT, (RATIO,)),
        ("LIKE", BOOL, (NAME, NAME)),
        ("=", BOOL, (NAME, NUMBER)),
    ],
)
def test_what_could_differ_from_flink_is_unsupported(name, result, operands):
    with pytest.raises(Unsupported):
        compile_expression(Call(name, operands, result))
