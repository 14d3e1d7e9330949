"""Hostile records: payments, and everything that has ever broken a parser, by name, out of a seed."""

from __future__ import annotations

import gzip
import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from operators.contract import Column, Contract
from tests import delivered

CONTRACT = Contract(
    "events",
    (
        *delivered.CONTRACT.columns,
        Column("visits", "INT"),
        Column("points", "BIGINT"),
        Column("score", "DOUBLE"),
        Column("fee", "DECIMAL(4, 4)"),
        Column("issued", "TIMESTAMP_LTZ(3)"),
    ),
    delivered.CONTRACT.lateness_ms,
)
SECRET = "pii-3f9a"  # begins every email address, and nothing else
MEBIBYTE = 1 << 20

_NUMBERS = (
    "0", "-0", "0.0", "-0.00", "1", "-1", "12.34", "12.345", "12.340000000000000000000000000000000", "1e2", "1E+2",
    "1e-2", "1e-3", "1e-999999999", "1e999999999", "-1e999999999", "0e999999999999", "1e99999999999999999999999",
    "9999999999.99", "9999999999.995", "10000000000", "-9999999999.99", "2147483647", "2147483648", "-2147483648",
    "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "1.0", "1e0", "5e-324", "1e-400", "1.7976931348623157e308", "1.8e308", "0.1234", "0.12345", "123456789012345678",
    "9" * 40, "9" * 400, "0." + "0" * 400 + "1", "1" + "0" * 300 + "e-300", "NaN", "Infinity", "-Infinity", "nan",
    "+1", "01", "-01", ".5", "5.", "1e", "1e+", "--1", "0x10", "1_000", "1,5", "\u0661\u0662", "1 2", "-",
)  # fmt: skip
_TEXTS = (
    '""', '" "', '"a"', '"\\u0000"', '"\\u0001\\u001f"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"',
    '"\\uD83D"',
    '"\\ud800\\u0041"', '"\\x41"', '"\\u12"', '"\\u12g4"', '"\\"', '"\\\\"', '"\\/"', '"\ufffe\uffff"', '"\u202e"',
    '"\ufeff"',
    '"a\nb"', '"a\tb"', '"a\\nb"', '"\x00"', '"\x7f"', '"\U0010ffff"', '"ﷺ"', '"e\u0301"', "'a'", '"a', 'a"',
    '"' + "k" * 2_048 + '"',
    '"' + "k" * 2_049 + '"', '"' + "ü" * 1_024 + '"', '"' + "ü" * 1_025 + '"', '"null"', '"true"', '"12.34"',
)  # fmt: skip
_OTHERS = (
    "null", "true", "false", "True", "None", "undefined", "[]", "{}", "[1]", '{"a":1}', "[[[[]]]]", "", " ",
    "\u00a0null",
    "[,]", "[1,]", "{,}", '{"a"}', '{"a":}', "/**/1", "1//", "nul", "nulll", "tru", '"a" "b"', "[" * 70 + "]" * 70,
    '{"a":' * 70 + "1" + "}" * 70, "[" * 63 + "]" * 63, "[" * 64 + "]" * 64,
)  # fmt: skip
_TIMES = (
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "0001-01-01T00:00:00-00:01",
    "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "99999-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
    "2026-01-32T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T23:59:60Z",
    "2026-01-01T12:60:00Z", "2026-01-01T12:00:00", "2026-01-01T12:00:00 Z", "2026-01-01 12:00:00Z",
    "2026-01-01t12:00:00z",
    "2026-01-01T12:00Z", "20260101T120000Z", "2026-W01-1T12:00:00Z", "2026-001T12:00:00Z", "2026-01-01T12:00:00+0100",
    "2026-01-01T12:00:00+24:00", "2026-01-01T12:00:00+23:59", "2026-01-01T12:00:00-23:59", "2026-01-01T12:00:00+01:60",
    "2026-01-01T12:00:00.Z", "2026-01-01T12:00:00,5Z", "2026-01-01T12:00:00.0000000000000000000000001Z",
    "2026-01-01T12:00:00." + "9" * 50 + "Z", "1969-12-31T23:59:59.9999999Z", "1600-01-01T00:00:00.0005Z",
    "2026-01-01T12:00:00Z\n", " 2026-01-01T12:00:00Z", "２０２６-01-01T12:00:00Z", "2026-01-01T12:00:00\u221201:00",
    "1767268800000", "",
)  # fmt: skip
_FRAGMENTS = (
    b"\\ud800", b"\\u0000", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82", b"null",
    b"1e999999999",
    b"1e-999999999", b"[", b"]", b"{", b"}", b'"', b"{}", b"-", b"0", b"NaN", b"\xf0\x9f\x98\x80", b"\\", b"9" * 50,
    b",", b":",
    b"\x00", b"\xef\xbb\xbf", b"\r\n", b"\x1f", b"/*", b"\xc2\xa0",
)  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """One record: its bytes, and what was done to it."""

    data: bytes
    kind: str


class Records:
    """An endless source of records. `arrival_ms` of each call is what payments' times are drawn around."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._recent: list[bytes] = [b""] * 512
        self._number = 0
        self._makers: list[tuple[str, Callable[[int], bytes]]] = [
            ("payment", self._payment),
            ("resent", lambda _: self._random.choice(self._recent)),
            ("late or early", self._off_time),
            ("odd value", self._odd_value),
            ("odd time", self._odd_time),
            ("field left out", self._left_out),
            ("repeated key", self._repeated),
            ("escaped key", self._escaped),
            ("spaced", self._spaced),
            ("bits flipped", self._flipped),
            ("cut short", self._cut),
            ("pieces put in", self._pieced),
            ("not a payment", self._other),
            ("wrapped", self._wrapped),
            ("long", self._long),
            ("a mebibyte", self._mebibyte),
        ]
        self._weights = [30, 6, 8, 14, 5, 2, 4, 3, 2, 8, 4, 8, 4, 1.5, 0.5, 0.005]
        self._total = [sum(self._weights[: i + 1]) for i in range(len(self._weights))]

    def next(self, arrival_ms: int) -> Hostile:
        """The next record."""
        self._number += 1
        ((kind, make),) = self._random.choices(self._makers, cum_weights=self._total)
        data = make(arrival_ms)
        self._recent[self._number % len(self._recent)] = data if len(data) < 5_000 else b""
        return Hostile(data, kind)

    def each_kind(self, arrival_ms: int) -> list[Hostile]:
        """One record of every kind."""
        return [Hostile(make(arrival_ms), kind) for kind, make in self._makers]

    def _fields(self, at_ms: int) -> dict[str, str]:
        """A payment's fields as JSON texts."""
        draw = self._random
        fields = {
            "event_id": f'"e{self._number}"',
            "customer_id": f'"c{draw.randrange(500)}"',
            "merchant_id": f'"m{draw.randrange(40)}"',
            "amount": f"{draw.randrange(-200, 100_000) / 100:.2f}",
            "event_time": f'"{_text(at_ms)}"',
        }
        optional = {
            "channel": draw.choice(('"ecom"', '"pos"', "null")),
            "card_present": draw.choice(("true", "false", "null")),
            "email": f'"{SECRET}-{self._number}@example.com"',
            "visits": str(draw.randrange(-(2**31), 2**31)),
            "points": str(draw.randrange(-(2**63), 2**63)),
            "score": repr(draw.uniform(-1e6, 1e6)),
            "fee": f"0.{draw.randrange(10_000):04}",
            "issued": f'"{_text(draw.randrange(-(10**13), 10**13))}"',
            "unknown": draw.choice(('{"a":[1,null]}', '"x"', "1e5", "[]")),
        }
        return fields | {name: text for name, text in optional.items() if draw.random() < 0.4}

    def _payment(self, arrival_ms: int) -> bytes:
        return _record(self._fields(arrival_ms - int(self._random.expovariate(1 / 3_000))))

    def _off_time(self, arrival_ms: int) -> bytes:
        edges = (0, 1, -5_000, -5_001, CONTRACT.lateness_ms, CONTRACT.lateness_ms + 1, 10**9, -(10**9))
        return _record(
            self._fields(arrival_ms - self._random.choice((*edges, self._random.randrange(-9_000, 200_000))))
        )

    def _odd_value(self, arrival_ms: int) -> bytes:
        fields = self._fields(arrival_ms)
        for name in self._random.sample(CONTRACT.names, self._random.choice((1, 1, 1, 2))):
            fields[name] = self._odd_text()
        return _record(fields)

    def _odd_text(self) -> str:
        return self._random.choice(self._random.choice((_NUMBERS, _TEXTS, _OTHERS)))

    def _odd_time(self, arrival_ms: int) -> bytes:
        time = json.dumps(self._random.choice(_TIMES), ensure_ascii=self._random.random() < 0.5)
        return _record(self._fields(arrival_ms) | {self._random.choice(("event_time", "issued")): time})

    def _left_out(self, arrival_ms: int) -> bytes:
        fields = self._fields(arrival_ms)
        del fields[self._random.choice(list(fields))]
        return _record(fields)

    def _repeated(self, arrival_ms: int) -> bytes:
        fields = self._fields(arrival_ms)
        name = self._random.choice(list(fields))
        again = f'"{name}":{self._random.choice((fields[name], self._odd_text()))}'
        whole = _record(fields)
        return b"{" + again.encode(errors="surrogatepass") + b"," + whole[1:] if self._random.random() < 0.5 else (
            whole[:-1] + b"," + again.encode(errors="surrogatepass") + b"}"
        )  # fmt: skip

    def _escaped(self, arrival_ms: int) -> bytes:
        fields = self._fields(arrival_ms)
        name = self._random.choice(list(fields))
        at = self._random.randrange(len(name))
        key = name[:at] + f"\\u{ord(name[at]):04x}" + name[at + 1 :]
        odd = self._random.choice(
            (key, key, name + "\\u0000", name.upper(), " " + name, "", "\\ud800", name + "\u200b")
        )
        return _record({odd if each == name else each: text for each, text in fields.items()})

    def _spaced(self, arrival_ms: int) -> bytes:
        space = self._random.choice((" ", "\n", "\t\r\n ", " " * 500, "\u00a0", "\x0b", "\x00", "\ufeff", "\u2028"))
        fields = self._fields(arrival_ms)
        body = f",{space}".join(f'"{name}"{space}:{space}{text}' for name, text in fields.items())
        return f"{space}{{{space}{body}{space}}}{space}".encode()

    def _flipped(self, arrival_ms: int) -> bytes:
        data = bytearray(self._payment(arrival_ms))
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return bytes(data)

    def _cut(self, arrival_ms: int) -> bytes:
        data = self._payment(arrival_ms)
        start = self._random.choice((0, 0, 0, self._random.randrange(len(data))))
        return data[start : self._random.randrange(start, len(data) + 1)]

    def _pieced(self, arrival_ms: int) -> bytes:
        data = self._payment(arrival_ms)
        for _ in range(self._random.choice((1, 1, 2, 3))):
            at = self._random.randrange(len(data) + 1)
            data = data[:at] + self._random.choice(_FRAGMENTS) + data[at:]
        return data

    def _other(self, _: int) -> bytes:
        draw = self._random
        text = draw.choice((*_OTHERS, *_NUMBERS, *_TEXTS)).encode(errors="surrogatepass")
        return draw.choice(
            (b"", text, draw.randbytes(draw.randrange(1, 200)), _noise(draw), b"\x00" * 30, b"\xef\xbb\xbf")
        )

    def _wrapped(self, arrival_ms: int) -> bytes:
        data = self._payment(arrival_ms)
        text = data.decode()
        ways: tuple[Callable[[], bytes], ...] = (
            lambda: gzip.compress(data, mtime=0), lambda: b"\xef\xbb\xbf" + data, lambda: text.encode("utf-16"),
            lambda: text.encode("utf-32-le"), lambda: b"[" + data + b"]", lambda: data + data,
            lambda: data + b"\n" + data,
            lambda: json.dumps(text).encode(), lambda: b"\x00" + data, lambda: data + b"\x00", lambda: data[::-1],
            lambda: b"data: " + data, lambda: b'{"event":' + data + b"}", lambda: data.replace(b'"', b"'"),
        )  # fmt: skip
        return self._random.choice(ways)()

    def _long(self, arrival_ms: int) -> bytes:
        return self._huge(arrival_ms, self._random.randrange(3_000, 60_000))

    def _mebibyte(self, arrival_ms: int) -> bytes:
        return self._huge(arrival_ms, MEBIBYTE)

    def _huge(self, arrival_ms: int, size: int) -> bytes:
        """About so many bytes, a different part of them too long each time."""
        fields, name = self._fields(arrival_ms), self._random.choice(CONTRACT.names)
        room = max(1, size - 600)
        texts = (
            '"' + "x" * room + '"', '"' + "\\u00e9" * (room // 6) + '"', '"' + "😀" * (room // 4) + '"', "9" * room,
            "0." + "0" * room + "1", "1" + "0" * room + f"e-{room}", "[" * room, "[" * (room // 2) + "]" * (room // 2),
            '{"a":' * (room // 6) + "1" + "}" * (room // 6), "[" + "1," * (room // 2) + "1]", '"' + "[" * room + '"',
            " " * room + "1", '"' + '\\"' * (room // 2) + '"', "1e" + "9" * room, "-" * room,
        )  # fmt: skip
        fields[self._random.choice((name, "unknown"))] = self._random.choice(texts)
        data = _record(fields)
        return data + b"\xff" if self._random.random() < 0.1 else data


def _record(fields: dict[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode(errors="surrogatepass")


def _text(epoch_ms: int) -> str:
    seconds, millis = divmod(epoch_ms, 1_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{millis:03}Z"


def _noise(draw: random.Random) -> bytes:
    return "".join(draw.choices(string.printable + '{}[]":,' * 5, k=draw.randrange(1, 80))).encode()
