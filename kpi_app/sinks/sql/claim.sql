-- Queries of kpi_app/sinks/claim.py. A query starts at "-- name --", its description follows.

-- claim_feed --
-- Records what the first worker of a feed stores its state with.
INSERT INTO kpi_feed (feed, topic, window_seconds) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- feeds_claimed --
-- What a feed, or the feed of a topic, has its state stored with.
SELECT feed, topic, window_seconds FROM kpi_feed WHERE feed = $1 OR topic = $2 ORDER BY feed = $1 DESC;
