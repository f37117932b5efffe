-- Durations of a simulated profile were one resource ideal: {"tensor": ns, "dma_rate": ns, ...}; {} where nobody knows.
ALTER TABLE profile ADD COLUMN ideal_ns JSON DEFAULT '{}';
