-- expect: 2:1: want one SELECT, got another kind of statement
CREATE VIEW v AS SELECT customer_id FROM events
