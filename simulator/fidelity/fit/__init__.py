"""The constants of kind "fitted", worked out again from what they were fitted to. No I/O."""
