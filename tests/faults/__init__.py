"""`make faults`: a load of payment messages while everything is killed and restarted."""
