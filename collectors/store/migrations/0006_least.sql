-- What an estimated launch takes under other settings than the run's (host time with on-device sampling).
ALTER TABLE launch ADD COLUMN least_ns BIGINT;
