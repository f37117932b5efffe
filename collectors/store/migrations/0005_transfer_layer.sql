-- The framework's name of the instruction that issued a transfer, as nki_source_location is its line.
ALTER TABLE DmaPacketAggregated ADD COLUMN layer TEXT;
