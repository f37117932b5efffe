"""What one instruction costs: a formula per call, a file per engine, constants from `simulator.machine`."""
