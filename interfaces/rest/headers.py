"""The headers of requests that are read, and those of answers that say something of the club's."""

from __future__ import annotations

READ = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("Ledger-Position", "X-Request-Id"),
)

ANSWERED = (
    *("Content-Disposition", "ETag", "Ledger-Position", "Link", "Location", "RateLimit"),
    *("RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id", "X-Total-Count"),
)
