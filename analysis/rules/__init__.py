"""Rules that look at one launch and say what holds it back: a rule a file, thresholds in one."""
