"""What each command does, from a parsed command line to its last line of output: one module per command."""
