-- purpose: the stream of payments as it is: bytes, arrival time, shard and sequence number
-- grain:   one row per record (records that the Kinesis Producer Library aggregated come apart)
-- owner:   fraud-platform
--
-- ${...} is filled in from the properties; nothing else differs between the local stand-in and AWS.
-- The watermark is L + 1 ms behind the arrival: a payment is on time up to arrival - event_time = L, and Flink
-- calls an event late that equals the watermark.
CREATE TEMPORARY TABLE kinesis (
  data            BYTES,
  arrival_time    TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,       -- ApproximateArrivalTimestamp
  shard_id        STRING           METADATA FROM 'shard-id' VIRTUAL,
  sequence_number STRING           METADATA FROM 'sequence-number' VIRTUAL,
  WATERMARK FOR arrival_time AS arrival_time - INTERVAL '${watermark_delay}' DAY TO SECOND(3)
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
