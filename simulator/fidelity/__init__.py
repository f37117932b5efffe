"""How true the simulator's times are: real profiles replayed through its costs and its timeline."""
