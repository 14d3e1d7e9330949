"""Masks: what leaves the gate in place of personal data."""

from __future__ import annotations

import hashlib
import hmac
import pickle

import pytest

from operators.masking import Masker

KEY = "a key of 20 letters!"


def test_a_mask_is_the_hmac_of_the_value_in_utf8_and_hex() -> None:
    value = "jürgen@example.com"
    assert Masker(KEY).mask([value]) == [hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()]


def test_a_column_keeps_its_order_its_nulls_and_its_repetitions() -> None:
    first, null, second, again, empty = Masker(KEY).mask(["a@b.c", None, "d@e.f", "a@b.c", ""])

    assert first == again
    assert null is None
    assert empty is not None
    assert len({first, second, empty}) == 3


def test_another_key_gives_another_mask() -> None:
    assert Masker(KEY).mask(["a"]) != Masker(KEY + "x").mask(["a"])


def test_long_values_are_masked_too_but_not_remembered() -> None:
    masker = Masker(KEY)
    long = "x" * 100_000

    assert masker.mask([long]) == [hmac.new(KEY.encode(), long.encode(), hashlib.sha256).hexdigest()]
    assert masker._remember.cache_info().currsize == 0


def test_the_memory_of_masks_has_a_bound() -> None:
    masker = Masker(KEY)
    masker.mask([str(number) for number in range(70_000)])
    assert masker._remember.cache_info().currsize == 65_536


@pytest.mark.parametrize("key", ["", "too short secret"[:15]])
def test_a_short_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="at least 16") as refused:
        Masker(key)
    assert not key or key not in str(refused.value)


def test_a_key_of_sixteen_characters_is_enough() -> None:
    assert Masker("0123456789abcdef").mask([None]) == [None]


def test_the_key_shows_in_no_repr_and_travels_in_a_pickle() -> None:
    masker = Masker(KEY)
    assert KEY not in repr(masker)
    assert pickle.loads(pickle.dumps(masker)).mask(["a"]) == masker.mask(["a"])
