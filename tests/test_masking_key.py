"""The masking key out of a secret: whoever may read the application's properties does not see it."""

import pytest
from botocore.exceptions import ClientError

from flink_app import masking_key
from flink_app.errors import FraudWindowsError
from flink_app.masking_key import with_masking_key, with_stand_in_key
from flink_app.properties import parse_properties

GROUPS = {
    "Source": {"kind": "kinesis", "stream": "payments"},
    "Features": {"table": "features"},
    "History": {"path": "s3://bucket/features"},
    "Archive": {"path": "s3://bucket/raw"},
    "Quarantine": {"path": "s3://bucket/quarantine"},
    "Account": {"path": "s3://bucket/account"},
}


def properties(**masking):
    groups = [{"PropertyGroupId": name, "PropertyMap": values} for name, values in GROUPS.items()]
    return parse_properties([*groups, {"PropertyGroupId": "Masking", "PropertyMap": masking}], "file")


def secrets_manager(monkeypatch, answer):
    class Client:
        def get_secret_value(self, SecretId):  # noqa: N803 boto3's name
            assert SecretId == "arn:of-the-secret"
            if isinstance(answer, Exception):
                raise answer
            return {"SecretString": answer}

    monkeypatch.setattr(masking_key, "client", lambda *_: Client())


def test_the_key_is_read_from_the_secret_that_the_properties_name(monkeypatch):
    secrets_manager(monkeypatch, "0123456789abcdef")
    named = properties(secret="arn:of-the-secret")
    assert named.masking.key is None
    assert with_masking_key(named).masking.key.reveal() == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(with_masking_key(named))


def test_a_key_in_the_properties_asks_nobody(monkeypatch):
    monkeypatch.setattr(masking_key, "client", lambda *_: pytest.fail("asked AWS"))
    given = properties(key="a key of enough characters")
    assert with_masking_key(given) == given
    assert with_stand_in_key(given) == given


def test_one_of_key_and_secret_is_wanted():
    for masking, problem in [
        ({}, "file: Masking.key: missing · wanted because Masking.secret is missing too · add it"),
        (
            {"key": "a key of enough characters", "secret": "arn"},
            "file: Masking.key: got both a key and a secret · wanted one of them · remove the key",
        ),
    ]:
        with pytest.raises(FraudWindowsError) as error:
            properties(**masking)
        assert error.value.problems == (problem,)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("too short", "Masking.secret: 'arn:of-the-secret': got 9 characters · wanted at least 16"),
        (
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetSecretValue"),
            "Masking.secret: 'arn:of-the-secret': An error occurred (AccessDeniedException)",
        ),
    ],
)
def test_a_secret_that_is_no_key_is_one_line(monkeypatch, answer, problem):
    secrets_manager(monkeypatch, answer)
    with pytest.raises(FraudWindowsError) as error:
        with_masking_key(properties(secret="arn:of-the-secret"))
    assert [found.startswith(problem) for found in error.value.problems] == [True]
