"""What is read of a chain of clubs, over REST."""
