"""What a laptop needs around the job: an AWS endpoint and a real Flink cluster, both on 127.0.0.1."""
