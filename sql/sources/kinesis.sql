-- purpose: the stream of payments as it is: bytes, arrival time, shard and sequence number
-- grain:   one row per record (records that the Kinesis Producer Library aggregated come apart)
-- owner:   fraud-platform
--
-- ${...} is filled in from the properties; nothing else differs between the local stand-in and AWS.
-- The watermark is not declared here: one over all shards of a reader would be that of the shard furthest ahead.
-- See flink_app/sources.py.
CREATE TEMPORARY TABLE kinesis (
  data            BYTES,
  arrival_time    TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,       -- ApproximateArrivalTimestamp
  shard_id        STRING           METADATA FROM 'shard-id' VIRTUAL,
  sequence_number STRING           METADATA FROM 'sequence-number' VIRTUAL
) WITH (
  'connector' = 'kinesis',
  'stream' = '${stream}',
  'aws.region' = '${region}',
  ${endpoint}                                        -- 'aws.endpoint' for a local AWS, nothing for the real one
  'aws.credentials.provider' = 'AUTO',               -- the role in the cloud, the environment on a laptop
  'scan.stream.initpos' = '${initial_position}',     -- only for a start without a savepoint
  'scan.shard.discovery.intervalmillis' = '5000',    -- how soon the shards of a resharding are read
  'scan.shard.getrecords.maxrecordcount' = '10000',
  'format' = 'raw'
);
