"""Properties: read once, all problems together, secrets never shown."""

import json
import pickle

import pytest

from flink_app.properties import PropertiesError, Secret, parse_properties, read_properties, write_properties

KEY = "a secret nobody may see"
GOOD = {
    "Source": {"kind": "kinesis", "stream": "payments"},
    "Features": {"table": "features"},
    "History": {"path": "s3://bucket/features"},
    "Archive": {"path": "s3://bucket/raw/"},
    "Quarantine": {"path": "file:///tmp/quarantine"},
    "Account": {"path": "s3://bucket/account"},
    "Masking": {"key": KEY},
}


def groups(**changes):
    """GOOD with some groups changed; None takes a group away."""
    merged = {**GOOD, **changes}
    return [{"PropertyGroupId": name, "PropertyMap": values} for name, values in merged.items() if values is not None]


def problems(**changes):
    with pytest.raises(PropertiesError) as error:
        parse_properties(groups(**changes), "file")
    return [problem.removeprefix("file: ") for problem in error.value.problems]


def test_defaults_fill_what_is_not_said(tmp_path):
    write_properties(tmp_path / "p.json", GOOD)
    properties = read_properties(tmp_path / "p.json")
    assert properties.aws.region == "us-east-1"
    assert properties.aws.endpoint == ""
    assert properties.source.initial_position == "TRIM_HORIZON"
    assert properties.features.enabled is True
    assert (properties.features.ttl_days, properties.features.emit_interval_ms) == (30, 500)
    assert (properties.state.buckets, properties.state.dedup_ttl_seconds, properties.state.grace_seconds) == (
        16,
        600,
        300,
    )
    assert properties.state.idle_final_seconds is None
    assert properties.archive.path == "s3://bucket/raw"
    assert pickle.loads(pickle.dumps(properties)) == properties


def test_the_groups_of_the_service_are_passed_over():
    service = [{"PropertyGroupId": "kinesis.analytics.flink.run.options", "PropertyMap": {"python": "main.py"}}]
    assert parse_properties(groups() + service, "file").source.stream == "payments"


def test_a_secret_is_in_no_repr_and_no_error():
    assert KEY not in repr(parse_properties(groups(), "file"))
    assert parse_properties(groups(), "file").masking.key.reveal() == KEY
    assert f"{Secret(KEY)} {Secret(KEY)!r}" == "Secret(***) Secret(***)"
    assert problems(Masking={"key": "short one"}) == [
        "Masking.key: got 9 characters · wanted a secret of at least 16 characters · change it"
    ]
    assert "1234" not in problems(Masking={"key": 1234})[0]


def test_all_problems_are_told_together():
    found = problems(
        Source={"kind": "kinesys", "stream": "payments"},
        Features={"table": "features", "ttl.dais": "3", "emit.interval.ms": "fast"},
        Quarantine=None,
        Maskin={"key": KEY},
        State={"buckets": "0", "grace.seconds": 5},
        Runtime={"separate.workers": "yes"},
    )
    assert found == [
        "Maskin: unknown group · did you mean 'Masking'?",
        "Source.kind: got 'kinesys' · wanted kinesis or archive · change it",
        "Features.ttl.dais: unknown key · did you mean 'ttl.days'?",
        "Features.emit.interval.ms: got 'fast' · wanted a whole number of milliseconds, at least 1 · change it",
        "Quarantine.path: missing · wanted s3://BUCKET/FOLDER or file:///FOLDER, for rejected records · add it",
        "State.buckets: got '0' · wanted a whole number of buckets, at least 1 · change it",
        "State.grace.seconds: got 5 · wanted a JSON string: a whole number of seconds, at least 0 · put it in quotes",
        "Runtime.separate.workers: got 'yes' · wanted true or false · change it",
    ]


def test_what_one_property_asks_of_another():
    assert problems(Source={"kind": "kinesis"}) == [
        "Source.stream: missing · wanted because Source.kind is kinesis · add it"
    ]
    assert problems(Archive=None) == ["Archive.path: missing · wanted because Source.kind is kinesis · add it"]
    assert problems(Source={"kind": "archive"}) == [
        "Source.path: missing · wanted because Source.kind is archive · add it"
    ]
    assert problems(Features=None) == ["Features.table: missing · wanted because Features.enabled is true · add it"]
    archive = parse_properties(groups(Source={"kind": "archive", "path": "raw"}, Archive=None), "file")
    assert archive.source.path == "raw"
    assert parse_properties(groups(Features={"enabled": "false"}), "file").features.enabled is False


@pytest.mark.parametrize("path", ["bucket/raw", "http://bucket/raw", "s3://", ""])
def test_a_folder_names_its_filesystem(path):
    assert problems(History={"path": path})[0].startswith(f"History.path: got '{path}' · wanted s3://BUCKET/FOLDER")


@pytest.mark.parametrize("number", ["-1", "1.5", "1_000", "٣", " 1", "", "1e3"])
def test_a_number_is_decimal_digits_only(number):
    assert "whole number" in problems(State={"buckets": number})[0]


def test_the_shape_of_the_file(tmp_path):
    path = tmp_path / "p.json"
    for content, problem in [
        ("{", f"{path}:1:2: not JSON"),
        ("{}", f"{path}: got a dict · wanted a list of"),
        ('[{"PropertyGroupId": "Source"}]', f'{path}: entry 1: got {{"PropertyGroupId": "Source"}} · wanted one of'),
        (json.dumps(groups() + groups()[:1]), f"{path}: Source: the group is there twice"),
    ]:
        path.write_text(content)
        with pytest.raises(PropertiesError) as error:
            read_properties(path)
        assert error.value.problems[0].startswith(problem)
    with pytest.raises(PropertiesError, match="no such file"):
        read_properties(tmp_path / "absent.json")
