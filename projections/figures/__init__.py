"""The figures that the club is run by: counts and sums that follow the ledger.

Nothing in these tables says who somebody is, and none knows a time zone: what happened is counted
in quarter hours, from which the days of any zone are put together when they are read.
"""
