"""What the club is asked to do: each command beside its handler, and what they need from outside.

`catalogue.py` lists every command, `access.py` says who may do what, `policies.py` what follows
from what. Nothing in here knows Postgres, HTTP or AMQP.
"""
