"""The analyzer's subcommands of `anyres`."""
