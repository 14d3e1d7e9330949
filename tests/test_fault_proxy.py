"""The fault proxy: it recognises operations, its rules hit what they say and as often, and a client sees the fault."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.faults import answers
from tests.faults.answers import ConnectionLost, SmallSteps
from tests.faults.proxy import FaultProxy, Rule
from tests.faults.requests import Answer, Request


def aws(target: str, body: object = None) -> Request:
    return Request("POST", "/", {"x-amz-target": target}, json.dumps(body or {}).encode())


GET_RECORDS = aws("Kinesis_20131202.GetRecords", {"ShardIterator": "abc"})
WRITES = [{"PutRequest": {"Item": {"n": {"N": str(number)}}}} for number in range(5)]
BATCH_WRITE = aws("DynamoDB_20120810.BatchWriteItem", {"RequestItems": {"features": WRITES}})


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("POST", "/bucket/key?uploads", "s3:CreateMultipartUpload"),
        ("PUT", "/bucket/key?partNumber=1&uploadId=u", "s3:UploadPart"),
        ("POST", "/bucket/key?uploadId=u", "s3:CompleteMultipartUpload"),
        ("DELETE", "/bucket/key?uploadId=u", "s3:AbortMultipartUpload"),
        ("PUT", "/bucket/a/b", "s3:PutObject"),
        ("POST", "/bucket/?delete", "s3:DeleteObjects"),
        ("GET", "/bucket/?list-type=2&prefix=x", "s3:ListObjects"),
        ("HEAD", "/bucket/key", "s3:HeadObject"),
        ("DELETE", "/bucket/key", "s3:DeleteObject"),
        ("GET", "/_localstack/health", "other:/_localstack/health"),
    ],
)
def test_an_s3_operation_is_told_by_method_path_and_query(method, target, operation):
    assert Request(method, target, {}).operation == operation


def test_kinesis_and_dynamodb_say_their_operation_in_a_header():
    assert (GET_RECORDS.operation, GET_RECORDS.service) == ("kinesis:GetRecords", "kinesis")
    assert BATCH_WRITE.operation == "dynamodb:BatchWriteItem"


def hits(rule, requests, seconds_apart=0.0):
    return [rule.takes(request, number * seconds_apart) for number, request in enumerate(requests)]


def test_a_rule_hits_so_many_requests_and_no_more():
    rule = Rule("kinesis:GetRecords", answers.throttle, times=2)
    assert hits(rule, [GET_RECORDS] * 4) == [True, True, False, False]
    assert rule.hits == 2


def test_a_rule_hits_for_so_many_seconds_after_its_first_hit():
    rule = Rule("kinesis:*", answers.throttle, seconds=2.0)
    assert hits(rule, [BATCH_WRITE, *[GET_RECORDS] * 4], seconds_apart=1.0) == [False, True, True, False, False]


def test_a_rule_hits_the_first_of_every_three():
    rule = Rule("kinesis:*", answers.throttle, every=3)
    assert hits(rule, [GET_RECORDS] * 5) == [True, False, False, True, False]


def test_a_rule_leaves_other_operations_and_what_its_condition_excludes():
    rule = Rule("s3:UploadPart", answers.slow_down, where=lambda request: "/features/" in request.target)
    parts = [Request("PUT", f"/b/{name}/f?partNumber=1&uploadId=u", {}) for name in ("raw", "features")]
    assert hits(rule, [GET_RECORDS, *parts]) == [False, False, True]


def test_unprocessed_items_are_left_out_of_the_request_and_named_in_the_answer():
    asked = []

    def forward(request):
        asked.append(json.loads(request.body)["RequestItems"]["features"])
        return Answer(200, (("x-amz-crc32", "1"),), b'{"UnprocessedItems": {}}')

    answer = answers.unprocessed(2)(BATCH_WRITE, forward)
    assert asked == [[WRITES[1], WRITES[3]]]
    assert json.loads(answer.body) == {"UnprocessedItems": {"features": [WRITES[0], WRITES[2], WRITES[4]]}}
    assert answer.headers == ()  # the checksum of another body


def test_if_all_items_are_unprocessed_the_endpoint_is_not_asked():
    answer = answers.unprocessed(1)(BATCH_WRITE, lambda _: pytest.fail("asked"))
    assert json.loads(answer.body) == {"UnprocessedItems": {"features": WRITES}}


def test_a_lost_answer_was_carried_out_and_a_reset_was_not():
    asked = []
    with pytest.raises(ConnectionLost):
        answers.lose_answer(GET_RECORDS, asked.append)
    with pytest.raises(ConnectionLost):
        answers.reset(GET_RECORDS, asked.append)
    assert asked == [GET_RECORDS]


def test_a_silent_stream_gives_no_records_and_the_same_iterator():
    answer = answers.no_records(GET_RECORDS, lambda _: pytest.fail("asked"))
    assert json.loads(answer.body) == {"Records": [], "NextShardIterator": "abc", "MillisBehindLatest": 0}


def test_arrivals_are_told_anew_by_time_and_partition_key():
    records = [{"ApproximateArrivalTimestamp": 100.5, "PartitionKey": key} for key in ("3", "7")]
    stored = Answer(200, (), json.dumps({"Records": records}).encode())
    answer = answers.arrivals(lambda at, key: at + int(key))(GET_RECORDS, lambda _: stored)
    assert [r["ApproximateArrivalTimestamp"] for r in json.loads(answer.body)["Records"]] == [103.5, 107.5]


def test_a_shard_that_is_read_in_small_steps_is_known_by_its_iterators():
    asked = []

    def forward(request):
        asked.append(json.loads(request.body).get("Limit"))
        return Answer(200, (), b'{"Records": [], "NextShardIterator": "def"}')

    fault = SmallSteps(lambda shard: 7 if shard == "shard-2" else None)
    first = aws("Kinesis_20131202.GetShardIterator", {"ShardId": "shard-2"})
    fault(first, lambda _: Answer(200, (), b'{"ShardIterator": "abc"}'))
    for iterator in ("abc", "def", "another shard's"):
        fault(aws("Kinesis_20131202.GetRecords", {"ShardIterator": iterator, "Limit": 100}), forward)
    assert asked == [7, 7, 100]
    assert fault.steps == 2


@pytest.fixture
def endpoint():
    """An HTTP server that tells what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Path", self.path)
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", "12345")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(endpoint):
    with FaultProxy(endpoint) as opened:
        yield opened


@pytest.fixture
def client(proxy):
    connection = http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=5)
    yield connection
    connection.close()


def ask(client, method="POST", target="/bucket/key?uploadId=u", body=b"parts", headers=None):
    client.request(method, target, body, headers or {})
    answer = client.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_without_a_rule_request_and_answer_pass_as_they_are(proxy, client):
    for _ in range(2):  # on one connection
        status, headers, body = ask(client)
        assert (status, headers["X-Path"], body) == (200, "/bucket/key?uploadId=u", b"parts")
    assert proxy.seen == {"s3:CompleteMultipartUpload": 2}


def test_an_answer_to_head_keeps_the_length_of_what_it_does_not_send(client):
    status, headers, body = ask(client, "HEAD", "/bucket/key", None)
    assert (status, headers["Content-Length"], body) == (200, "12345", b"")


def test_a_client_that_waits_to_be_told_to_continue_is_told(proxy):
    host, port = urlsplit(proxy.endpoint).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = "POST /bucket/key?uploadId=u HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_refused_s3_request_gets_the_error_as_xml_and_then_the_next_one_passes(proxy, client):
    rule = proxy.add(Rule("s3:CompleteMultipartUpload", answers.slow_down, times=1))
    status, _, body = ask(client)
    assert status == 503
    assert b"<Code>SlowDown</Code>" in body
    assert ask(client)[0] == 200
    assert rule.hits == 1


def test_a_refused_kinesis_request_gets_the_error_as_json(proxy, client):
    proxy.add(Rule("kinesis:GetRecords", answers.expire_iterator, times=1))
    status, _, body = ask(client, target="/", headers={"X-Amz-Target": "Kinesis_20131202.GetRecords"})
    assert (status, json.loads(body)["__type"]) == (400, "ExpiredIteratorException")


def test_a_reset_breaks_the_connection_and_a_new_one_works(proxy, client):
    proxy.add(Rule("s3:*", answers.reset, times=1))
    with pytest.raises(ConnectionError):
        ask(client)
    client.close()
    assert ask(client)[0] == 200


def test_a_request_that_hangs_lets_the_others_pass(proxy, client):
    proxy.add(Rule("s3:CompleteMultipartUpload", answers.hang(1.0), times=1))
    caught = []

    def hanging():
        other = http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=5)
        try:
            ask(other)
        except ConnectionError as error:
            caught.append(error)
        finally:
            other.close()

    thread = threading.Thread(target=hanging)
    thread.start()
    while not proxy.seen["s3:CompleteMultipartUpload"]:
        time.sleep(0.01)
    assert ask(client)[0] == 200
    assert not caught
    thread.join()
    assert caught


def test_services_may_have_endpoints_of_their_own(endpoint):
    with FaultProxy("http://127.0.0.1:1", kinesis=endpoint) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=5)
        assert ask(connection, target="/", headers={"X-Amz-Target": "Kinesis_20131202.ListShards"})[0] == 200
        with pytest.raises(ConnectionError):
            ask(connection)
        connection.close()


def test_the_newest_rule_comes_first_and_what_it_forwards_meets_the_older_ones(proxy, client):
    older = proxy.add(Rule("s3:*", answers.slow_down))
    newer = proxy.add(Rule("s3:*", answers.delay(0.0), times=1))
    assert [ask(client)[0] for _ in range(2)] == [503, 503]
    assert (older.hits, newer.hits) == (2, 1)


def test_after_clear_nothing_goes_wrong(proxy, client):
    proxy.add(Rule("*", answers.reset))
    proxy.clear()
    assert ask(client)[0] == 200
