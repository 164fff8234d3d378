"""The command line: the options that commands share."""
