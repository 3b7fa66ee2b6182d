"""The command line, `club`: one file for each group of commands."""
