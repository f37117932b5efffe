"""When each instruction runs: engines, DMA queues, dependencies."""
