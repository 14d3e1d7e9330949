"""A job of three steps for the tests of the local cluster: datagen, a Python function, blackhole."""

import sys

from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import udf


@udf(result_type=DataTypes.BIGINT(), func_type="pandas")
def plus_one(numbers):
    return numbers + 1


def main():
    if "--fail" in sys.argv:
        print("error: sql/events.sql:1:1: nothing here", file=sys.stderr)
        print("error: Source.kind: got 'x' · wanted kinesis", file=sys.stderr)
        sys.exit(2)
    if "--crash" in sys.argv:
        raise KeyError("lost")
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    tables.create_temporary_function("plus_one", plus_one)
    tables.execute_sql("CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000')")
    tables.execute_sql("CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole')")
    tables.execute_sql("INSERT INTO nowhere SELECT plus_one(n) FROM numbers")


if __name__ == "__main__":
    main()
