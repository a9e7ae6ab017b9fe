"""The client's own subcommands of `anyres`, one a module, light to import."""
