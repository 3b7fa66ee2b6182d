"""This service beside what a user would use instead: ratios from one machine and one run."""
