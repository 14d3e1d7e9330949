"""What a job is made of: everything that was read, listed and checked before a graph is built."""

from __future__ import annotations

from dataclasses import dataclass

from flink_app.archive import ChunkReader
from flink_app.planner import SqlPlan
from flink_app.properties import Properties
from operators.buckets import MAX_PARALLELISM, bucket_keys
from operators.contract import Contract
from operators.feature_settings import FeatureSettings
from operators.gate import Gate

_IDLE_BEYOND_LATENESS_MS = 10_000


@dataclass(frozen=True)
class Job:
    """See the module.

    Attributes:
        properties: sinks that they do not configure are not attached.
        plan: contract and windows.
        chunks: of the archive to read; None reads the stream.
    """

    properties: Properties
    plan: SqlPlan
    chunks: ChunkReader | None = None

    @property
    def gate(self) -> Gate:
        """The gate of the contract."""
        key = self.properties.masking.key
        assert key is not None, "flink_app.masking_key comes first"
        return Gate(self.plan.contract, key.reveal(), bucket_keys(self.properties.state.buckets))

    @property
    def settings(self) -> FeatureSettings:
        """What the keyed operator is told."""
        state, features = self.properties.state, self.properties.features
        idle_ms = self.plan.contract.lateness_ms + _IDLE_BEYOND_LATENESS_MS
        if state.idle_final_seconds is not None:
            idle_ms = state.idle_final_seconds * 1000
        return FeatureSettings(
            contract=self.plan.contract,
            specs=self.plan.specs,
            emit_interval_ms=features.emit_interval_ms,
            item_ttl_seconds=features.ttl_days * 86_400,
            dedup_ttl_ms=state.dedup_ttl_seconds * 1000,
            grace_ms=state.grace_seconds * 1000,
            idle_final_ms=idle_ms if self.chunks is None else None,
            bucket_keys=bucket_keys(state.buckets),
            forwards_events=bool(self.plan.natives),
            writes_live=features.enabled,
        )


def contradictions(properties: Properties, contract: Contract) -> list[str]:
    """Properties that are right in themselves but not for this contract or this job, a line each."""
    problems = []
    state, lateness_seconds = properties.state, contract.lateness_ms / 1000
    if state.dedup_ttl_seconds < lateness_seconds:
        problems.append(
            f"State.dedup.ttl.seconds: got {state.dedup_ttl_seconds} · wanted at least {lateness_seconds:g},"
            " the lateness bound of sql/events.sql, or late duplicates would count · raise it"
        )
    if state.buckets > MAX_PARALLELISM:
        problems.append(
            f"State.buckets: got {state.buckets} · wanted at most {MAX_PARALLELISM}, the maximum parallelism · lower it"
        )
    return problems
