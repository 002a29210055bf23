"""A real board over ssh: the connection, its runtimes, and what can go wrong."""
