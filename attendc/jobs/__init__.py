"""One module a job: what a command of the CLI does from its options to its files. Scripts call these too."""
