"""What is true in the club: aggregates, their events and their refusals.

Imports the standard library and `eventsourcing`, nothing else. Nothing in here reads a clock,
asks a database or knows HTTP: time and ids arrive with the command.
"""
