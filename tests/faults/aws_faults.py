"""Faults of DynamoDB, S3 and Kinesis, injected by the proxy between the job and them."""

from __future__ import annotations

from tests.e2e_stage import PROXIED_BUCKET
from tests.faults import answers
from tests.faults.proxy import Rule
from tests.faults.scene import Scene
from tests.faults.story import Fault, ProxyFault

WRITE, READ = "dynamodb:BatchWriteItem", "kinesis:GetRecords"
PART, COMMIT = "s3:UploadPart", "s3:CompleteMultipartUpload"
CHECKPOINTS = "checkpoints"  # folder of the bucket behind the proxy


def throttled_writes(_: Scene) -> list[Rule]:
    return [Rule(WRITE, answers.throttle, seconds=6, what="throttled")]


def unprocessed_items(_: Scene) -> list[Rule]:
    return [Rule(WRITE, answers.unprocessed(3), times=60, what="with a third of the items unprocessed")]


def failing_writes(_: Scene) -> list[Rule]:
    return [Rule(WRITE, answers.internal_error, times=20, every=2, what="answered 500")]


def hanging_writes(_: Scene) -> list[Rule]:
    return [Rule(WRITE, answers.hang(8), times=2, what="without an answer for 8 s, then reset")]


def lost_write_answers(_: Scene) -> list[Rule]:
    return [Rule(WRITE, answers.lose_answer, times=20, every=2, what="done, its answer lost")]


def failing_parts(_: Scene) -> list[Rule]:
    return [
        Rule(PART, answers.s3_internal_error, times=6, what="answered 500"),
        Rule(PART, answers.slow_down, times=6, what="answered 503 SlowDown"),
        Rule("s3:CreateMultipartUpload", answers.slow_down, times=6, what="answered 503 SlowDown"),
    ]


def broken_parts(_: Scene) -> list[Rule]:
    return [Rule(PART, answers.refuse(403, "AccessDenied"), times=1, what="answered 403, for good")]


def failing_commits(_: Scene) -> list[Rule]:
    return [
        Rule(COMMIT, answers.s3_internal_error, times=4, what="answered 500"),
        Rule(COMMIT, answers.slow_down, times=4, what="answered 503 SlowDown"),
    ]


def broken_commits(_: Scene) -> list[Rule]:
    return [Rule(COMMIT, answers.refuse(403, "AccessDenied"), times=2, what="answered 403, for good")]


def lost_commit_answers(_: Scene) -> list[Rule]:
    return [Rule(COMMIT, answers.lose_answer, times=5, what="done, its answer lost")]


def throttled_reads(_: Scene) -> list[Rule]:
    return [Rule(READ, answers.throttle, seconds=5, every=2, what="throttled")]


def expired_iterators(_: Scene) -> list[Rule]:
    return [Rule(READ, answers.expire_iterator, times=12, every=2, what="answered ExpiredIterator")]


def failing_reads(_: Scene) -> list[Rule]:
    return [Rule(READ, answers.refuse(500, "InternalFailure"), times=30, what="answered 500")]


def hanging_reads(_: Scene) -> list[Rule]:
    return [Rule(READ, answers.hang(8), times=4, what="without an answer for 8 s, then reset")]


def lost_read_answers(_: Scene) -> list[Rule]:
    return [Rule(READ, answers.lose_answer, times=8, every=2, what="done, its answer lost")]


def silent_reads(_: Scene) -> list[Rule]:
    return [Rule(READ, answers.no_records, seconds=25, what="without a record while there were some")]


def failing_checkpoints(scene: Scene) -> list[Rule]:
    refused = answers.refuse(403, "AccessDenied")
    return [
        Rule(
            "s3:PutObject",
            refused,
            times=3,
            where=lambda r: f"/{CHECKPOINTS}/" in r.target,
            what="of a checkpoint, 403",
        )
    ]


def everything(scene: Scene) -> list[Rule]:
    """What a normal test run can afford: all three services at once, for a few seconds."""
    return [
        Rule(WRITE, answers.throttle, times=4, every=2, what="throttled"),
        Rule(WRITE, answers.unprocessed(3), times=20, every=2, what="with a third of the items unprocessed"),
        Rule(WRITE, answers.internal_error, times=4, every=3, what="answered 500"),
        Rule(COMMIT, answers.slow_down, times=4, what="answered 503 SlowDown"),
        Rule(COMMIT, answers.lose_answer, times=3, every=2, what="done, its answer lost"),
        Rule(READ, answers.expire_iterator, times=8, every=3, what="answered ExpiredIterator"),
    ]


EVERYTHING = ProxyFault("all services at once", everything, about="DynamoDB, S3 commits and Kinesis fail together")
CHECKPOINTS_IN_S3 = {"execution.checkpointing.dir": f"s3://{PROXIED_BUCKET}/{CHECKPOINTS}"}
SOON_FINAL = {"State": {"idle.final.seconds": "15"}}

AWS_FAULTS: list[Fault] = [
    ProxyFault("DynamoDB throttles", throttled_writes, about="every BatchWriteItem throttled for 6 s"),
    ProxyFault("DynamoDB unprocessed", unprocessed_items, about="BatchWriteItem leaves a third of the items out"),
    ProxyFault("DynamoDB 500", failing_writes, about="every other BatchWriteItem answered 500"),
    ProxyFault("DynamoDB hangs", hanging_writes, about="BatchWriteItem without an answer for 8 s"),
    ProxyFault(
        "DynamoDB answers lost", lost_write_answers, about="written, but the connection breaks before the answer"
    ),
    ProxyFault("S3 5xx in upload", failing_parts, about="500 and 503 SlowDown for parts and new uploads"),
    ProxyFault("S3 403 in upload", broken_parts, about="a part refused for good: the job restarts"),
    ProxyFault("S3 5xx at commit", failing_commits, about="500 and 503 SlowDown for CompleteMultipartUpload"),
    ProxyFault("S3 403 at commit", broken_commits, about="CompleteMultipartUpload refused for good: the job restarts"),
    ProxyFault("S3 commit answers lost", lost_commit_answers, about="committed, but the connection breaks"),
    ProxyFault("Kinesis throttles", throttled_reads, about="every other GetRecords throttled for 5 s"),
    ProxyFault("Kinesis iterators expire", expired_iterators, about="GetRecords answered ExpiredIteratorException"),
    ProxyFault("Kinesis 500", failing_reads, about="GetRecords answered 500 until the connector gives up"),
    ProxyFault("Kinesis hangs", hanging_reads, about="GetRecords without an answer for 8 s"),
    ProxyFault("Kinesis answers lost", lost_read_answers, about="GetRecords: the connection breaks before the answer"),
    ProxyFault(
        "Kinesis silent",
        silent_reads,
        properties=SOON_FINAL,
        about="GetRecords without records for 25 s; silence makes windows final after 15 s",
    ),
    ProxyFault(
        "checkpoint fails",
        failing_checkpoints,
        settings=CHECKPOINTS_IN_S3,
        about="checkpoints go to S3, which refuses three of their files",
    ),
    EVERYTHING,
]
