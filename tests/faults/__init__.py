"""`make faults`: a load of payment messages while everything is killed, frozen and cut off."""
