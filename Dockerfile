# Any glibc image of Debian's or Ubuntu's age or newer may take the last stage, for scripts in other languages:
#   docker build --build-arg BASE=node:22-bookworm-slim -t market-hours-orchestrator .
ARG BASE=python:3.12-slim-bookworm

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked
# The folders that scripts and daemon write to; they are handed over with their owner, so the last stage needs no shell.
RUN mkdir -p /writable/state /writable/logs /writable/results

FROM ${BASE}
COPY --from=build /src/target/release/mho /usr/local/bin/mho
WORKDIR /app
COPY config config
COPY scripts scripts
COPY --from=build --chown=10001:10001 /writable /app
# By number: it is the same in every BASE, and what a mounted directory must belong to.
USER 10001:10001
# The user has no entry in /etc/passwd: programs that look for a name or a home find them here.
ENV USER=mho HOME=/tmp
VOLUME ["/app/state", "/app/logs", "/app/results"]
STOPSIGNAL SIGTERM
# Liveness only: at night and on holidays it is healthy, too.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["mho", "healthcheck"]
# No ENTRYPOINT: `docker run IMAGE python x.py` runs just that.
CMD ["mho", "run"]
