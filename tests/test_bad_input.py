"""Bad input through the command line: every problem is one line `error: …`, exit code 2, never a stack trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from botocore.exceptions import ClientError

from flink_app import preflight
from flink_app.local import aws
from flink_app.local.places import JAR, free_port
from flink_app.parts import contradictions
from flink_app.preflight import PreflightError, check_endpoints
from flink_app.properties import parse_properties, write_properties
from tests.delivered import CONTRACT

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sys.executable).with_name("fraud-windows")
SECRET = "the key that no message may show"
GOOD = {
    "Aws": {"region": "us-east-1", "endpoint": "http://127.0.0.1:1"},  # nobody listens there
    "Source": {"kind": "kinesis", "stream": "payments"},
    "Features": {"table": "features"},
    "History": {"path": "s3://bucket/features"},
    "Archive": {"path": "s3://bucket/raw"},
    "Quarantine": {"path": "s3://bucket/quarantine"},
    "Account": {"path": "s3://bucket/account"},
    "Masking": {"key": SECRET},
}
BUCKET_KEYS = "History.path, Archive.path, Quarantine.path, Account.path"
KEYS = "customer_id, window_start, window_end"
FROM = "FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))\nGROUP BY"
BAD_WINDOWS = {  # file -> (its text, what is said about it)
    "misspelt": (
        f"SELECT {KEYS},\n  SUM(amout) AS a\n{FROM} {KEYS}",
        "sql/windows/misspelt.sql:2:7: column 'amout' not found in events; did you mean 'amount'?",
    ),
    "syntax": (
        f"SELECT {KEYS}\n  COUNT(*) AS b,\n{FROM} {KEYS}",
        "sql/windows/syntax.sql:2:3: Incorrect syntax near the keyword 'COUNT'",
    ),
    "no_customer": (
        f"SELECT window_start, window_end, COUNT(*) AS c\n{FROM} window_start, window_end",
        "sql/windows/no_customer.sql:1:1: no column 'customer_id' in the SELECT; a window row is named by ",
    ),
    "no_window_end": (
        f"SELECT customer_id, window_start, COUNT(*) AS d\n{FROM} {KEYS}",
        "sql/windows/no_window_end.sql:1:1: no column 'window_end' in the SELECT; a window row is named by ",
    ),
    "clash": (
        f"SELECT {KEYS}, CAST(COUNT(*) AS STRING) AS tx_count\n{FROM} {KEYS}",
        "sql/windows/clash.sql:1:1: column 'tx_count' is STRING here and BIGINT in sql/windows/card_velocity.sql; ",
    ),
}


class Ended(NamedTuple):
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def fraud_windows(monkeypatch, capsys):
    """The command line in this process."""
    from flink_app.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fraud-windows", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the application whose SQL a test may break."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("flink_app", "operators", "sql"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "deploy").symlink_to(ROOT / "deploy")
    (folder / ".local").mkdir()
    (folder / ".local" / "plugins").symlink_to(ROOT / ".local" / "plugins")
    return folder


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with aws.embedded_aws(tmp_path_factory.mktemp("aws")) as local:
        yield local


def console_script(*arguments, checkout=ROOT):
    """The installed command, in a process of its own, on the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "FRAUD_WINDOWS_LOCAL_DIR": str(checkout / ".local" / "j")}
    if checkout == ROOT:
        environment = {**os.environ}
    command = [str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def written(folder, groups=None, **changes):
    """A properties file: the good groups with some changed; None takes a group away."""
    merged = {name: values for name, values in {**(groups or GOOD), **changes}.items() if values is not None}
    write_properties(folder / "properties.json", merged)
    return folder / "properties.json"


def refusals(ended):
    """The problems that a refused call told, without `error: `."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.out + ended.err
    assert SECRET not in ended.out + ended.err
    lines = ended.err.splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), ended.err
    return [line.removeprefix("error: ") for line in lines]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"Quarantine": None}, "Quarantine.path: missing · wanted s3://BUCKET/FOLDER or file:///FOLDER, for rejected"),
        ({"Features": {}}, "Features.table: missing · wanted because Features.enabled is true · add it"),
        ({"Features": {"table": "f", "tabel": "g"}}, "Features.tabel: unknown key · did you mean 'table'?"),
        ({"Quarantin": {"path": "s3://b/q"}}, "Quarantin: unknown group · did you mean 'Quarantine'?"),
        ({"State": {"grace.seconds": "5 min"}}, "State.grace.seconds: got '5 min' · wanted a whole number of seconds"),
        ({"State": {"grace.seconds": 5}}, "State.grace.seconds: got 5 · wanted a JSON string: a whole number of sec"),
        ({"Runtime": {"separate.workers": "no"}}, "Runtime.separate.workers: got 'no' · wanted true or false"),
        ({"Masking": {"key": SECRET[:9]}}, "Masking.key: got 9 characters · wanted a secret of at least 16 characters"),
    ],
)
def test_a_bad_property_is_one_line_that_says_where_got_and_wanted(tmp_path, fraud_windows, changes, told):
    file = written(tmp_path, **changes)
    (problem,) = refusals(fraud_windows("run", "--properties", file))
    assert problem.startswith(f"{file}: {told}")


def test_a_properties_file_that_is_absent_or_no_json(tmp_path, fraud_windows):
    absent, broken = tmp_path / "absent.json", tmp_path / "broken.json"
    broken.write_text('[{"PropertyGroupId": "Source",,}]')
    assert refusals(fraud_windows("run", "--properties", absent)) == [f"{absent}: no such file · check the path"]
    (problem,) = refusals(fraud_windows("run", "--properties", broken))
    assert problem.startswith(f"{broken}:1:31: not JSON: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "services"),
    [
        (["run"], "kinesis and dynamodb and s3"),
        (["show", "c000001"], "dynamodb"),
        (["generate", "--events", "1", "--to", "kinesis"], "kinesis"),
    ],
)
def test_endpoints_that_nobody_answers_are_one_line(tmp_path, fraud_windows, command, services):
    where = f"http://127.0.0.1:{free_port()}"
    file = written(tmp_path, Aws={"region": "us-east-1", "endpoint": where})
    (problem,) = refusals(fraud_windows(*command, "--properties", file))
    assert problem.startswith(f"Aws.endpoint {where}: {services} cannot be reached · run `fraud-windows local up`")


@pytest.mark.e2e
def test_a_missing_stream_table_and_bucket_are_a_line_each(tmp_path, fraud_windows, endpoint):
    groups = aws.job_properties(endpoint)
    absent = {"Source": {"kind": "kinesis", "stream": "paiments"}, "Features": {"table": "featurs"}}
    file = written(tmp_path, groups, **absent, History={"path": "s3://bocket/features"})
    problems = refusals(fraud_windows("run", "--properties", file))
    assert [problem.split(" at ")[0] for problem in problems] == [
        "Source.stream: stream 'paiments' not found",
        "Features.table: table 'featurs' not found",
        "History.path: bucket 'bocket' not found",
    ]


def test_no_credentials_are_one_line(tmp_path, fraud_windows, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    file = written(tmp_path, Aws={"region": "eu-central-1"})
    (problem,) = refusals(fraud_windows("run", "--properties", file))
    assert problem == (
        "credentials: Unable to locate credentials · wanted AWS credentials in the environment"
        " · set AWS_PROFILE or the keys"
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("UnrecognizedClientException", {"credentials: refused by AWS in us-east-1 (UnrecognizedClientException) "}),
        ("SignatureDoesNotMatch", {"credentials: refused by AWS in us-east-1 (SignatureDoesNotMatch) "}),
        ("ExpiredTokenException", {"credentials: refused by AWS in us-east-1 (ExpiredTokenException) "}),
        (
            "AccessDeniedException",
            {
                "Source.stream: stream 'payments': access denied by AWS in us-east-1 ",
                "Features.table: table 'features': access denied by AWS in us-east-1 ",
                f"{BUCKET_KEYS}: bucket 'bucket': access denied by AWS in us-east-1 ",
            },
        ),
        ("403", None),
    ],
)
def test_what_aws_refuses_is_told_once(monkeypatch, code, told):
    class Refusing:
        def __getattr__(self, operation):
            def refuse(**_):
                raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

            return refuse

    monkeypatch.setattr(preflight, "client", lambda *_: Refusing())
    groups = {**GOOD, "Aws": {"region": "us-east-1"}}
    listed = [{"PropertyGroupId": name, "PropertyMap": values} for name, values in groups.items()]
    with pytest.raises(PreflightError) as error:
        check_endpoints(parse_properties(listed, "test"))
    if told is not None:
        assert {problem.split("·")[0] for problem in error.value.problems} == told
    assert all("credentials" in problem and "\n" not in problem for problem in error.value.problems)


def test_properties_that_contradict_the_contract_are_told_together():
    state = {"dedup.ttl.seconds": "119", "buckets": "129"}
    listed = [{"PropertyGroupId": name, "PropertyMap": values} for name, values in {**GOOD, "State": state}.items()]
    ttl, buckets = contradictions(parse_properties(listed, "test"), CONTRACT)
    assert ttl.startswith(
        "State.dedup.ttl.seconds: got 119 · wanted at least 120, the lateness bound of sql/events.sql"
    )
    assert buckets.startswith("State.buckets: got 129 · wanted at most 128, the maximum parallelism")
    equal = [{**group, "PropertyMap": {"dedup.ttl.seconds": "120"}} for group in listed if "State" in str(group)]
    rest = [group for group in listed if "State" not in str(group)]
    assert contradictions(parse_properties(rest + equal, "test"), CONTRACT) == []


NO_WINDOWS = "sql/windows: no window files; add one SELECT per file, e.g. windows/velocity.sql"


@pytest.mark.slow
def test_run_without_window_files_is_refused_before_anything_starts(tmp_path, checkout):
    windows = checkout / "sql" / "windows"
    windows.rename(tmp_path / "kept")
    windows.mkdir()
    try:
        ended = console_script("run", "--properties", written(tmp_path), checkout=checkout)
    finally:
        windows.rmdir()
        (tmp_path / "kept").rename(windows)
    assert refusals(ended) == [NO_WINDOWS]


@pytest.fixture
def sql(tmp_path, monkeypatch):
    """A copy of the SQL folder, which check and the sinks read in this process."""
    from flink_app import check, sql_templates

    folder = Path(shutil.copytree(ROOT / "sql", tmp_path / "sql"))
    monkeypatch.setattr(check, "_SQL", folder)
    monkeypatch.setattr(sql_templates, "SQL", folder)
    return folder


@pytest.mark.flink
def test_check_without_window_files(tmp_path, sql, fraud_windows):
    shutil.rmtree(sql / "windows")
    (sql / "windows").mkdir()
    assert refusals(fraud_windows("check", "--properties", written(tmp_path))) == [NO_WINDOWS]


@pytest.mark.flink
def test_check_tells_every_broken_window_file_with_its_place(tmp_path, sql, fraud_windows):
    for name, (text, _) in BAD_WINDOWS.items():
        (sql / "windows" / f"{name}.sql").write_text(text)
    problems = refusals(fraud_windows("check", "--properties", written(tmp_path, Account=None)))
    assert problems.pop(0).startswith(f"{tmp_path / 'properties.json'}: Account.path: missing")
    for name, (_, told) in BAD_WINDOWS.items():
        assert next(problem for problem in problems if f"/{name}.sql:" in problem).startswith(told)
    assert len(problems) == len(BAD_WINDOWS)


@pytest.mark.flink
@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("sinks/account.sql", "'parquet'", "'parkett'", "sql/sinks/account.sql:"),
        ("sinks/archive.sql", "FROM records", "FROM recods", "sql/sinks/archive.sql:31:6: table 'recods' not found"),
        ("sinks/quarantine.sql", "r.detail,", "r.detial,", "sql/sinks/quarantine.sql:31:5: column 'detial' not found"),
        ("sinks/features.sql", "${table}", "${tabel}", "sql/sinks/features.sql: unknown placeholder ${tabel}; known: "),
        ("sources/kinesis.sql", "'format'", "'farmat'", "sql/sources/kinesis.sql:"),
    ],
)
def test_check_plans_the_sources_and_sinks(tmp_path, sql, fraud_windows, file, old, new, told):
    text = (sql / file).read_text()
    assert old in text
    (sql / file).write_text(text.replace(old, new, 1))
    (problem,) = refusals(fraud_windows("check", "--properties", written(tmp_path)))
    assert problem.startswith(told)


@pytest.mark.flink
def test_check_says_how_windows_run_and_shows_no_secret(tmp_path, sql, fraud_windows):
    (sql / "windows" / "large_bills.sql").write_text(
        f"SELECT {KEYS}, MAX(amount) AS bill_max {FROM} {KEYS} HAVING MAX(amount) > 100"
    )
    (sql / "windows" / "visits.sql").write_text(
        f"SELECT {KEYS}, COUNT(*) AS visit_count FROM TABLE(SESSION(TABLE events PARTITION BY customer_id,"
        f" DESCRIPTOR(event_time), INTERVAL '10' SECOND)) GROUP BY {KEYS}"
    )
    file = written(tmp_path, Aws={"region": "us-east-1", "endpoint": "http://somebody:pass1word@127.0.0.1:1"})
    code, out, err = fraud_windows("check", "--properties", file)
    assert (code, err) == (0, "")
    assert SECRET not in out
    assert "pass1word" not in out
    assert "warning: sql/windows/large_bills.sql: HAVING: final rows only" in out
    assert "warning: sql/windows/visits.sql: runs as native Flink SQL, final rows only, once: " in out
    assert "its shards are unknown" in out
    rows = {words[0]: words[1:] for line in out.splitlines() if len(words := line.split()) == 3}
    assert rows["card_velocity"] == ["6", "6"]
    assert rows["customer_spend"] == ["3", "3"]
    assert rows["large_bills"] == ["0", "1"]
    assert rows["together"] == ["9", "10"]
    assert "22 min: longest window 15 min + L 2 min + grace 5 min" in out


@pytest.mark.flink
@pytest.mark.e2e
def test_the_installed_command_checks_the_delivered_files(endpoint):
    assert JAR.exists(), f"{JAR} is missing; build it with: make jar"
    code, out, err = console_script("check", "--properties", endpoint.properties)
    assert (code, err) == (0, "")
    assert out.rstrip().splitlines()[-1].startswith("ok: contract, 2 window files, sinks and properties; ")
    assert f"warning: Source.stream {aws.STREAM}: {aws.SHARDS} open shards, parallelism 1: " in out


@pytest.mark.e2e
def test_run_passes_on_what_the_planner_says(checkout, endpoint):
    """Planning costs `run` no time of its own: the submitted application tells, and the cluster ends again."""
    text, told = BAD_WINDOWS["misspelt"]
    broken = checkout / "sql" / "windows" / "misspelt.sql"
    broken.write_text(text)
    try:
        ended = console_script("run", "--properties", endpoint.properties, checkout=checkout)
    finally:
        broken.unlink()
    assert refusals(ended) == [told]
