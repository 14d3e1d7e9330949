"""Flink's REST interface, as far as a job's life needs it."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from flink_app.errors import FraudWindowsError

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})


class ClusterError(FraudWindowsError):
    """The local Flink cluster did not do what was asked; each problem names the log to read."""


class FlinkRest:
    """One cluster's REST endpoint; every method asks anew, nothing is cached.

    Times are seconds; methods that wait raise ClusterError when the time is over.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def rest(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The JSON answer of `path` ('/jobs/…'); POST if there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method or ("POST" if data else "GET")
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")
            raise ClusterError(f"Flink REST {path}: {error.code} · {_first_cause(detail)}") from error
        except (OSError, ValueError) as error:
            raise ClusterError(f"Flink REST {self.url}{path}: {error}") from error

    def wait(self, what: str, done: Callable[[], Any], timeout: float) -> Any:
        """The first true result of `done`, asked five times a second."""
        until = time.monotonic() + timeout
        while not (result := done()):
            if time.monotonic() > until:
                raise ClusterError(f"{what}: not within {timeout:g} s")
            time.sleep(0.2)
        return result

    def job_state(self, job: str) -> str:
        """CREATED, RUNNING, RESTARTING, FAILING, FAILED, CANCELED, FINISHED, …"""
        return str(self.rest(f"/jobs/{job}/status")["status"])

    def wait_running(self, job: str, timeout: float = 60) -> None:
        """Until every task of the job runs (Python operators open lazily: the first record may still wait for them)."""

        def running() -> bool:
            self.raise_if_failed(job)
            return all(vertex["status"] in {"RUNNING", "FINISHED"} for vertex in self.rest(f"/jobs/{job}")["vertices"])

        self.wait(f"job {job} to run", running, timeout)

    def wait_ended(self, job: str, timeout: float) -> str:
        """Until the job is FINISHED, CANCELED or FAILED; returns which."""

        def ended() -> str | None:
            state = self.job_state(job)
            return state if state in ENDED else None

        return str(self.wait(f"job {job} to end", ended, timeout))

    def cancel(self, job: str, timeout: float = 30) -> None:
        """Cancel and wait; nothing open becomes final."""
        if self.job_state(job) not in ENDED:
            self.rest(f"/jobs/{job}?mode=cancel", method="PATCH")
            self.wait_ended(job, timeout)

    def stop_with_savepoint(
        self, job: str, *, drain: bool = False, directory: str | None = None, timeout: float = 120
    ) -> str:
        """Stop at the sources, write a savepoint, wait until the job has finished; returns the savepoint's path.

        With `drain` the sources first send the last watermark: every open window becomes final. A drained job is over;
        do not restore it. A savepoint that fails raises ClusterError and the job goes on.
        """
        body: dict[str, object] = {"drain": drain}
        if directory:
            body["targetDirectory"] = directory
        trigger = self.rest(f"/jobs/{job}/stop", body)["request-id"]

        def completed() -> Any:
            answer = self.rest(f"/jobs/{job}/savepoints/{trigger}")
            return answer["operation"] if answer["status"]["id"] == "COMPLETED" else None

        operation = self.wait(f"savepoint of job {job}", completed, timeout)
        if "location" not in operation:
            why = [_first_cause(json.dumps(operation)), *map(_first_cause, self.exceptions(job)[:1])]
            raise ClusterError(f"savepoint of job {job}: {' · the job failed: '.join(why)}")
        self.wait_ended(job, timeout)
        return str(operation["location"])

    def savepoint(self, job: str, *, directory: str | None = None, timeout: float = 120) -> str:
        """A savepoint of a job that runs on; returns its path."""
        body = {"cancel-job": False} | ({"target-directory": directory} if directory else {})
        trigger = self.rest(f"/jobs/{job}/savepoints", body)["request-id"]

        def location() -> Any:
            answer = self.rest(f"/jobs/{job}/savepoints/{trigger}")
            if answer["status"]["id"] != "COMPLETED":
                return None
            if "location" not in answer["operation"]:
                raise ClusterError(f"savepoint of job {job}: {_first_cause(json.dumps(answer['operation']))}")
            return answer["operation"]["location"]

        return str(self.wait(f"savepoint of job {job}", location, timeout))

    def checkpoints(self, job: str) -> Any:
        """Flink's checkpoint statistics: counts, latest, history, summary."""
        return self.rest(f"/jobs/{job}/checkpoints")

    def wait_checkpoints(self, job: str, number: int, timeout: float = 60) -> None:
        """Until at least `number` checkpoints have completed since the job was submitted."""

        def enough() -> bool:
            self.raise_if_failed(job)
            return bool(self.checkpoints(job)["counts"]["completed"] >= number)

        try:
            self.wait(f"{number} checkpoints of job {job}", enough, timeout)
        except ClusterError as error:
            raise ClusterError(f"{error} · {self._standing(job)}") from error

    def exceptions(self, job: str) -> list[str]:
        """The job's failures with their full stack traces, newest first."""
        history = self.rest(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return [entry["stacktrace"] for entry in history]

    def vertices(self, job: str) -> dict[str, str]:
        """Vertex id -> name, in the order of the graph."""
        return {vertex["id"]: vertex["name"] for vertex in self.rest(f"/jobs/{job}")["vertices"]}

    def metrics(self, job: str, pattern: str, aggregate: str = "sum") -> dict[str, float]:
        """'vertex name: metric id' -> value over all subtasks, for metric ids in which the regular expression is found.

        `aggregate`: sum, min, max or avg. Metrics of a job that has ended are gone.
        """
        found: dict[str, float] = {}
        for vertex, name in self.vertices(job).items():
            path = f"/jobs/{job}/vertices/{vertex}/subtasks/metrics"
            wanted = [entry["id"] for entry in self.rest(path) if re.search(pattern, entry["id"])]
            for part in _parts(wanted, 20):  # metric names are long, a request line is not
                query = urllib.parse.urlencode({"get": ",".join(part), "agg": aggregate})
                found |= {f"{name}: {entry['id']}": entry[aggregate] for entry in self.rest(f"{path}?{query}")}
        return found

    def subtask_metrics(self, job: str, pattern: str) -> dict[str, float]:
        """'vertex name: subtask.metric id' -> value, for ids like '0.numRecordsOut' that the pattern is found in."""
        found: dict[str, float] = {}
        for vertex, name in self.vertices(job).items():
            path = f"/jobs/{job}/vertices/{vertex}/metrics"
            wanted = [entry["id"] for entry in self.rest(path) if re.search(pattern, entry["id"])]
            for part in _parts(wanted, 20):
                query = urllib.parse.urlencode({"get": ",".join(part)})
                found |= {f"{name}: {entry['id']}": float(entry["value"]) for entry in self.rest(f"{path}?{query}")}
        return found

    def metric(self, job: str, pattern: str, vertex: str = "") -> float:
        """Sum of all metrics that match, over the vertices whose name contains `vertex`."""
        return sum(value for key, value in self.metrics(job, pattern).items() if vertex in key.partition(": ")[0])

    def raise_if_failed(self, job: str) -> None:
        """Raise ClusterError with the root cause if the job has failed or was cancelled."""
        state = self.job_state(job)
        if state in {"FAILED", "FAILING", "CANCELED"}:
            failures = self.exceptions(job)
            raise ClusterError(f"job {job} is {state}: {_first_cause(failures[0]) if failures else 'no reason given'}")

    def _standing(self, job: str) -> str:
        """One line for whoever waited in vain: state, checkpoints, which tasks the running one waits for, failures."""
        checkpoints = self.checkpoints(job)
        counts = ", ".join(f"{number} {what}" for what, number in checkpoints["counts"].items())
        told = [f"the job is {self.job_state(job)}", f"checkpoints: {counts}"]
        for checkpoint in (each for each in checkpoints["history"] if each["status"] == "IN_PROGRESS"):
            tasks = self.rest(f"/jobs/{job}/checkpoints/details/{checkpoint['id']}")["tasks"]
            names = self.vertices(job)
            late = [key for key, task in tasks.items() if task["num_acknowledged_subtasks"] < task["num_subtasks"]]
            told.append(f"checkpoint {checkpoint['id']} waits for: {', '.join(names[key] for key in late)}")
        return " · ".join([*told, *(f"failure: {_first_cause(failure)}" for failure in self.exceptions(job))])


def root_cause(text: str) -> str:
    """The line of a stack trace that says most: the last Python error if there is one, else the last `Caused by`."""
    python = r"^((?!java|org\.|com\.|Caused)[A-Za-z_][\w.]*(?:Error|Exception)(?:: .*)?)$"
    for pattern in (python, r"^Caused by: (.*)$"):
        if found := re.findall(pattern, text, re.MULTILINE):
            return str(found[-1])
    return text.partition("\n")[0]


def _first_cause(text: str) -> str:
    return root_cause(text.replace("\\n", "\n").replace("\\t", "\t"))[:500]


def _parts(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
