"""How the club is reached: each folder translates one channel, and decides nothing."""
