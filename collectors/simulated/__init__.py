"""The collector for machines without a device: planned launches through the simulator, cached by content."""
