"""The stack's alarms on series of metrics: a spike passes, what lasts calls, a restart or a gap is what it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.alarm_evaluation import ALARM, INSUFFICIENT, OK, states_of, values_of
from tests.stack_template import Template

PERIODS = 60
QUIET = {"BusyCpu": 40, "BusyMemory": 60, "OldRecords": 800, "StaleRows": 3_000, "CanaryLate": 4_000, "Down": 0}
QUIET |= {"WritesThrottled": 0, "NoData": 60_000, "DeadLettersWait": 3_600}
BAD = {
    "BusyCpu": 95,
    "BusyMemory": 97,
    "OldRecords": 300_000,
    "StaleRows": 60_000,
    "CanaryLate": 50_000,
    "Down": 60_000,
}
BAD |= {"WritesThrottled": 12, "NoData": 1, "DeadLettersWait": 300_000}
IN_SILENCE = {"breaching": ALARM, "notBreaching": OK, "missing": INSUFFICIENT}
GAP = math.nan


@pytest.fixture(scope="module")
def alarms():
    return Template().of_type("AWS::CloudWatch::Alarm")


def during(usual, changed, periods):
    """The usual value, and another one for some periods in the middle."""
    values = np.full(PERIODS, float(usual))
    values[20 : 20 + periods] = changed
    return values


def test_every_alarm_is_tried_here(alarms):
    assert alarms.keys() == QUIET.keys() | {
        "ConservationBroken",
        "CheckpointsFail",
        "Restarts",
        "RejectedRatio",
        "LateRatio",
    }


@pytest.mark.parametrize("name", QUIET)
def test_two_bad_periods_pass_and_lasting_ones_call_until_it_is_over(alarms, name):
    alarm = alarms[name]
    metric, of = alarm["MetricName"], alarm["EvaluationPeriods"]
    assert set(states_of(alarm, {metric: during(QUIET[name], BAD[name], 0)})) == {OK}
    assert set(states_of(alarm, {metric: during(QUIET[name], BAD[name], 2)})) == {OK}
    lasting = states_of(alarm, {metric: during(QUIET[name], BAD[name], 20)})
    assert lasting.index(ALARM) + of - 1 == 20 + alarm["DatapointsToAlarm"] - 1  # as soon as M periods were bad
    assert lasting[-1] == OK


@pytest.mark.parametrize("name", QUIET)
def test_silence_means_what_the_alarm_says(alarms, name):
    alarm = alarms[name]
    states = states_of(alarm, {alarm["MetricName"]: during(QUIET[name], GAP, 20)})
    assert states[20 + 20 - alarm["EvaluationPeriods"]] == IN_SILENCE[alarm["TreatMissingData"]]
    assert alarm["TreatMissingData"] == (
        "breaching" if name in {"Down", "NoData", "CanaryLate"} else alarm["TreatMissingData"]
    )


def counters(rates, restart=None):
    """Totals since the job's start from events per period; `restart`: the period where they begin at zero again."""
    totals = {}
    for name, rate in rates.items():
        total = np.cumsum(np.broadcast_to(np.asarray(rate, float), (PERIODS,)))
        totals[name] = (
            total if restart is None else np.where(np.arange(PERIODS) < restart, total, total - total[restart - 1])
        )
    return totals


def exits(*, lost=0.0, malformed=50.0, too_late=100.0, restart=None):
    """The job's counters for 100,000 accepted events per period, `lost` of them nowhere."""
    rates = {"gate_accepted": 100_000, "gate_malformed": malformed, "gate_future": 10, "gate_too_late": too_late}
    rates |= {"counted": 97_000 - np.asarray(lost), "duplicate": 2_990, "window_closed": 10}
    return counters(rates, restart)


def test_a_loss_of_two_percent_that_lasts_breaks_conservation_and_a_restart_does_not(alarms):
    alarm = alarms["ConservationBroken"]
    assert set(states_of(alarm, exits())) == {OK}
    assert set(states_of(alarm, exits(restart=30))) == {OK}
    assert set(states_of(alarm, exits(lost=during(0, 2_000, 3)))) == {OK}
    assert set(states_of(alarm, exits(lost=during(0, -2_000, 3)))) == {
        OK
    }  # what was in flight is counted a period later
    assert ALARM in states_of(alarm, exits(lost=during(0, 2_000, 4)))
    assert ALARM in states_of(alarm, exits(lost=during(0, -2_000, 4)))  # counted twice
    assert states_of(alarm, exits(lost=2_000, restart=30))[-1] == ALARM


def test_late_payments_call_when_their_share_lasts(alarms):
    alarm = alarms["LateRatio"]
    assert set(states_of(alarm, exits())) == {OK}
    assert set(states_of(alarm, exits(too_late=during(100, 9_000, 2)))) == {OK}
    assert ALARM in states_of(alarm, exits(too_late=during(100, 9_000, 3)))
    assert set(states_of(alarm, exits(restart=30))) == {OK}


def test_the_rejected_ratio_is_a_percentage_that_a_restart_does_not_disturb(alarms):
    """Whether it is unusual is CloudWatch's model to say; here is what the model is given."""
    ratio = values_of(alarms["RejectedRatio"], exits(malformed=during(50, 5_050, 5), restart=40))
    assert ratio[1:20] == pytest.approx(100 * 160 / 100_160)
    assert ratio[20:25] == pytest.approx(100 * 5_160 / 105_160)
    assert ratio[40] == 0
    assert ratio[41:] == pytest.approx(100 * 160 / 100_160)
    detector = Template().of_type("AWS::CloudWatch::AnomalyDetector")["RejectedRatioUsual"]
    learned = {query["Id"]: query for query in detector["MetricMathAnomalyDetector"]["MetricDataQueries"]}
    judged = {query["Id"]: query for query in alarms["RejectedRatio"]["Metrics"]}
    assert learned["ratio"]["Expression"] == judged["ratio"]["Expression"]
    assert {name: query for name, query in learned.items() if name != "ratio"} == {
        name: judged[name] for name in "amfl"
    }


@pytest.mark.parametrize(
    ("name", "metric"), [("CheckpointsFail", "numberOfFailedCheckpoints"), ("Restarts", "fullRestarts")]
)
def test_one_failure_is_life_and_three_call(alarms, name, metric):
    alarm = alarms[name]
    once = np.where(np.arange(PERIODS) >= 20, 1.0, 0.0)
    assert set(states_of(alarm, {metric: once})) == {OK}
    again_and_again = np.cumsum(during(0, 1, 3))
    assert ALARM in states_of(alarm, {metric: again_and_again})
    assert states_of(alarm, {metric: again_and_again})[-1] == OK  # a total that stands still is no new failure
    assert set(states_of(alarm, {metric: during(7, 0, PERIODS)})) == {OK}  # a new start counts from zero
    assert set(states_of(alarm, {metric: np.full(PERIODS, GAP)})) == {OK}


def test_a_counter_is_there_before_its_first_event_or_a_ratio_would_have_no_value_until_then():
    from operators import gate_shell
    from operators.gate import EXITS, Admission

    told = {}

    class Metrics:
        def add_group(self, _):
            return self

        def counter(self, name):
            return type("Counter", (), {"inc": lambda _, count: told.update({name: told.get(name, 0) + count})})()

    class Gate:
        def admit(self, *_):
            return Admission([], None, {**dict.fromkeys(EXITS, 0), "accepted": 3})

    gate_shell._Counting(Gate(), Metrics()).rows(*[None] * 4)
    assert told == {"gate_accepted": 3, "gate_malformed": 0, "gate_future": 0, "gate_too_late": 0}
