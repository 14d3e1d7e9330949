"""Faults of DynamoDB, S3 and Kinesis, injected by the proxy between the job and them."""

from __future__ import annotations

from tests.e2e_stage import PROXIED_BUCKET
from tests.faults import answers
from tests.faults.proxy import Rule
from tests.faults.story import Fault, ProxyFault

WRITE, READ = "dynamodb:BatchWriteItem", "kinesis:GetRecords"
PART, COMMIT = "s3:UploadPart", "s3:CompleteMultipartUpload"
CHECKPOINTS = "checkpoints"  # folder of the bucket behind the proxy


def throttled_writes() -> list[Rule]:
    return [Rule(WRITE, answers.throttle, seconds=6, what="throttled")]


def unprocessed_items() -> list[Rule]:
    return [Rule(WRITE, answers.unprocessed(3), times=60, what="with a third of the items unprocessed")]


def failing_writes() -> list[Rule]:
    return [Rule(WRITE, answers.internal_error, times=20, every=2, what="answered 500")]


def hanging_writes() -> list[Rule]:
    return [Rule(WRITE, answers.hang(8), times=2, what="without an answer for 8 s, then reset")]


def lost_write_answers() -> list[Rule]:
    return [Rule(WRITE, answers.lose_answer, times=20, every=2, what="done, its answer lost")]


def failing_parts() -> list[Rule]:
    return [
        Rule(PART, answers.s3_internal_error, times=6, what="answered 500"),
        Rule(PART, answers.slow_down, times=6, what="answered 503 SlowDown"),
        Rule("s3:CreateMultipartUpload", answers.slow_down, times=6, what="answered 503 SlowDown"),
    ]


def broken_parts() -> list[Rule]:
    return [Rule(PART, answers.refuse(403, "AccessDenied"), times=1, what="answered 403")]


def failing_commits() -> list[Rule]:
    return [
        Rule(COMMIT, answers.s3_internal_error, times=4, what="answered 500"),
        Rule(COMMIT, answers.slow_down, times=4, what="answered 503 SlowDown"),
    ]


def broken_commits() -> list[Rule]:
    return [Rule(COMMIT, answers.refuse(403, "AccessDenied"), times=2, what="answered 403")]


def lost_commit_answers() -> list[Rule]:
    return [Rule(COMMIT, answers.lose_answer, times=5, what="done, its answer lost")]


def throttled_reads() -> list[Rule]:
    return [Rule(READ, answers.throttle, seconds=5, every=2, what="throttled")]


def expired_iterators() -> list[Rule]:
    return [Rule(READ, answers.expire_iterator, times=12, every=2, what="answered ExpiredIterator")]


def failing_reads() -> list[Rule]:
    return [Rule(READ, answers.refuse(500, "InternalFailure"), seconds=20, what="answered 500")]


def hanging_reads() -> list[Rule]:
    return [Rule(READ, answers.hang(8), times=4, what="without an answer for 8 s, then reset")]


def lost_read_answers() -> list[Rule]:
    return [Rule(READ, answers.lose_answer, times=8, every=2, what="done, its answer lost")]


def silent_reads() -> list[Rule]:
    return [Rule(READ, answers.no_records, seconds=25, what="without a record while there were some")]


def failing_checkpoints() -> list[Rule]:
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


def everything() -> list[Rule]:
    """What a normal test run can afford: all three services at once, for a few seconds."""
    return [
        Rule(WRITE, answers.throttle, times=4, every=2, what="throttled"),
        Rule(WRITE, answers.unprocessed(3), times=20, every=2, what="with a third of the items unprocessed"),
        Rule(WRITE, answers.internal_error, times=4, every=3, what="answered 500"),
        Rule(COMMIT, answers.slow_down, times=4, what="answered 503 SlowDown"),
        Rule(COMMIT, answers.lose_answer, times=3, every=2, what="done, its answer lost"),
        Rule(READ, answers.expire_iterator, times=8, every=3, what="answered ExpiredIterator"),
    ]


EVERYTHING = ProxyFault(
    "all services at once", everything, "DynamoDB, S3 commits and Kinesis fail together", run="soft"
)
CHECKPOINTS_IN_S3 = {"execution.checkpointing.dir": f"s3://{PROXIED_BUCKET}/{CHECKPOINTS}"}
SOON_FINAL = {"State": {"idle.final.seconds": "15"}}

AWS_FAULTS: list[Fault] = [  # the "soft" ones are soon over for Flink's connectors, the "hard" ones may restart the job
    ProxyFault("DynamoDB throttles", throttled_writes, "every BatchWriteItem throttled for 6 s", run="soft"),
    ProxyFault("DynamoDB unprocessed", unprocessed_items, "BatchWriteItem leaves a third of the items out", run="soft"),
    ProxyFault("DynamoDB 500", failing_writes, "every other BatchWriteItem answered 500", run="soft"),
    ProxyFault("DynamoDB hangs", hanging_writes, "BatchWriteItem without an answer for 8 s", run="soft"),
    ProxyFault("DynamoDB answers lost", lost_write_answers, "written, but the connection breaks", run="soft"),
    ProxyFault("S3 5xx in upload", failing_parts, "500 and 503 SlowDown for parts and new uploads", run="soft"),
    ProxyFault("S3 5xx at commit", failing_commits, "500 and 503 SlowDown for CompleteMultipartUpload", run="soft"),
    ProxyFault("S3 commit answers lost", lost_commit_answers, "committed, but the connection breaks", run="soft"),
    ProxyFault("Kinesis throttles", throttled_reads, "every other GetRecords throttled for 5 s", run="soft"),
    ProxyFault("Kinesis iterators expire", expired_iterators, "GetRecords: ExpiredIteratorException", run="soft"),
    ProxyFault("Kinesis answers lost", lost_read_answers, "GetRecords: the connection breaks", run="soft"),
    EVERYTHING,
    ProxyFault("S3 403 in upload", broken_parts, "a part refused: AccessDenied", run="hard"),
    ProxyFault("S3 403 at commit", broken_commits, "commits refused: AccessDenied", run="hard"),
    ProxyFault("Kinesis 500", failing_reads, "every GetRecords answered 500 for 20 s", run="hard"),
    ProxyFault("Kinesis hangs", hanging_reads, "GetRecords without an answer for 8 s", run="hard"),
    ProxyFault(
        "checkpoint fails",
        failing_checkpoints,
        "checkpoints go to S3, which refuses three of their files",
        run="hard",
        settings=CHECKPOINTS_IN_S3,
    ),
    ProxyFault(
        "Kinesis silent",
        silent_reads,
        "GetRecords without records for 25 s; silence makes windows final after 15 s",
        properties=SOON_FINAL,
    ),
]
