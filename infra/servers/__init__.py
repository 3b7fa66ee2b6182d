"""The servers that this machine runs for the club."""
