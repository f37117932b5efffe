"""Collect profiles into `runs.db`: run kernels on a device or the simulator, read profiler output, store."""
