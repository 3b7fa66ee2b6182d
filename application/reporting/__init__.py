"""Reports: what the club's figures say, one file a report."""
