"""Random search: cells trained one by one."""
