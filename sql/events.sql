-- The event contract: what a payment on the stream must look like to be counted.
--
-- purpose: one place for the columns, their types and the lateness bound; the gate, the windows and the sinks follow it
-- grain:   one row per payment
-- owner:   fraud-features
--
-- One line per JSON field. To add a field, add one nullable line; events without it get NULL.
--   NOT NULL         a record without the field is malformed and goes to the quarantine, raw bytes intact
--   COMMENT 'pii'    leaves the gate only as HMAC-SHA256 with the key of the Masking properties (STRING only)
--   types            STRING, BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), TIMESTAMP_LTZ(3); money is DECIMAL, so that sums are exact
-- A value that does not fit its type makes the record malformed; nothing is rounded or guessed. Unknown fields are ignored.
--
-- WATERMARK: how late a payment may arrive and still count (arrival time minus event_time), the one place that says it.
--   Longer: fewer payments rejected as too_late, final rows later, more state. Keep dedup.ttl.seconds (State properties) at least as long.
CREATE TABLE events (
  event_id     STRING           NOT NULL, -- with customer_id: the identity of a payment; a second one is a duplicate
  customer_id  STRING           NOT NULL, -- the key of every feature
  merchant_id  STRING           NOT NULL,
  amount       DECIMAL(12, 2)   NOT NULL, -- in units of currency
  event_time   TIMESTAMP_LTZ(3) NOT NULL, -- the payment's own clock, ISO 8601 with Z or offset
  currency     STRING,                    -- ISO 4217
  country      STRING,                    -- ISO 3166, where the merchant is
  channel      STRING,                    -- 'ecom', 'pos', 'atm'
  device_id    STRING,
  email        STRING COMMENT 'pii',
  card_present BOOLEAN,
  WATERMARK FOR event_time AS event_time - INTERVAL '2' MINUTE
);
