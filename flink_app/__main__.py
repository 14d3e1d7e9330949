"""`python -m flink_app` is `fraud-windows`."""

from flink_app.cli import main

main()
