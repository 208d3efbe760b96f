"""Questions about the method that a table answers: each module is a command that prints it."""
