"""What is shown: the documented tables, built from events, and the queries on them.

One file a read model: its table, its projector, its queries. Everything here can be thrown away
and built again from the ledger.
"""
