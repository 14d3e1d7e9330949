"""Spark Structured Streaming, final rows only: one query, append mode, checkpointed, a file of payments a micro-batch.

python spark_streaming.py LINES_FOLDER OUTPUT CORES BACKEND

Each payment is exploded to its nine windows of the four feature sets, so that it is read and de-duplicated once: four
aggregations with `window()` and a union would do that four times. Count distinct is not allowed on a stream;
the size of a set is. The watermark follows the event time, 125 s behind it: no payment arrives later than 120 s, or
more than 5 s early. BACKEND 'heap' keeps state in Spark's default store, 'rocksdb' in RocksDB with changelog
checkpoints.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 as everybody does

SCHEMA = """arrival_ms BIGINT, event_id STRING, customer_id STRING, merchant_id STRING, amount DECIMAL(12, 2),
  event_time TIMESTAMP, channel STRING"""
WINDOWS = (  # feature set, size and slide in seconds
    ("card_velocity", 30, 5),
    ("customer_spend_1m", 60, 60),
    ("customer_spend_5m", 300, 300),
    ("customer_spend_15m", 900, 900),
)
WATERMARKED = {"spark.watermarkDelayMs": 125_000}  # marks a column that closes groups; explode loses event_time's mark
STATE = "org.apache.spark.sql.execution.streaming.state"
BACKENDS = {
    "heap": {},
    "rocksdb": {
        "spark.sql.streaming.stateStore.providerClass": f"{STATE}.RocksDBStateStoreProvider",
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    },
}


def main(lines: str, output: str, cores: str, backend: str) -> None:
    builder = SparkSession.builder.master(f"local[{cores}]").config("spark.driver.memory", "3g")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": cores,  # 200 by default: for a cluster
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "1000000",  # 128 sets by default, then it sorts
        **BACKENDS[backend],
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    print("ready", flush=True)

    arrival_after = F.col("arrival_ms") - F.unix_millis("event_time")
    events = (
        spark.readStream.schema(SCHEMA)
        .option("maxFilesPerTrigger", 1)
        .json(lines)
        .dropna(subset=["event_id", "customer_id", "merchant_id", "amount", "event_time"])
        .where(arrival_after.between(-5_000, 120_000))
        .withWatermark("event_time", "125 seconds")
        .dropDuplicatesWithinWatermark(["customer_id", "event_id"])
    )
    rows = (
        events.select("customer_id", "merchant_id", "amount", "channel", F.explode(windows_of("event_time")).alias("w"))
        .select("*", "w.feature_set", "w.window_start", F.col("w.window_end").alias("window_end", metadata=WATERMARKED))
        .groupBy("feature_set", "customer_id", "window_start", "window_end")
        .agg(
            F.count("*").alias("tx_count"),
            F.sum("amount").alias("amount_sum"),
            F.avg("amount").alias("amount_avg"),
            F.max("amount").alias("amount_max"),
            F.size(F.collect_set("merchant_id")).cast("long").alias("merchant_count"),
            F.sum(F.when(F.col("channel") == "ecom", F.col("amount"))).alias("ecom_amount_sum"),
        )
    )
    is_velocity = F.col("feature_set") == "card_velocity"
    query = (
        rows.withColumn("amount_avg", F.when(is_velocity, F.col("amount_avg")))
        .withColumn("ecom_amount_sum", F.when(~is_velocity, F.col("ecom_amount_sum")))
        .withColumn("revision", F.col("tx_count"))
        .withColumn("dt", F.date_format("window_end", "yyyy-MM-dd"))
        .withColumn("hour", F.date_format("window_end", "HH"))
        .writeStream.format("parquet")
        .partitionBy("feature_set", "dt", "hour")
        .option("checkpointLocation", f"{output}-checkpoint")
        .trigger(availableNow=True)
        .start(output)
    )
    while not query.awaitTermination(1):
        print("read", sum(progress.numInputRows for progress in query.recentProgress), flush=True)
    spark.stop()


def windows_of(time: str):
    """All windows of a payment, as an array of structs."""
    every = []
    for feature_set, size, slide in WINDOWS:
        first = (F.floor(F.unix_seconds(time) / slide) * slide + slide).cast("long")  # the first end after it
        for step in range(size // slide):
            end = first + step * slide
            every.append(
                F.struct(
                    F.lit(feature_set).alias("feature_set"),
                    F.timestamp_seconds(end - size).alias("window_start"),
                    F.timestamp_seconds(end).alias("window_end"),
                )
            )
    return F.array(*every)


if __name__ == "__main__":
    main(*sys.argv[1:5])
