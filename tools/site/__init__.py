"""The documentation as a site: pages generated from the code, and the command that builds it."""
