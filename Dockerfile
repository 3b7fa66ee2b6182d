# The club's service: one process, on a Postgres that it is given.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN useradd --system --uid 10001 --home-dir /var/lib/club --create-home club
WORKDIR /srv/club

# requirements-chain.lock is for who is in a chain of clubs.
ARG REQUIREMENTS=requirements.lock
COPY requirements.lock ./
COPY requirements-chain.lock ./
RUN pip install --quiet --no-deps --require-hashes --requirement "$REQUIREMENTS"

COPY pyproject.toml ./
COPY domain/ domain/
COPY application/ application/
COPY projections/ projections/
COPY interfaces/ interfaces/
COPY infra/ infra/
RUN pip install --quiet --no-deps --no-build-isolation .

USER club
ENV CLUB_HOME=/var/lib/club \
    CLUB_HTTP_HOST=0.0.0.0
VOLUME /var/lib/club
EXPOSE 8000
CMD ["club", "run"]
