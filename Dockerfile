# syntax=docker/dockerfile:1
# Small and non-root. Two images from one build: `--target mock-warehouse`, and sluicebox (the default).

FROM rust:1.95.0-slim-bookworm AS build
# Not pinned: Debian keeps only the newest version of a package, so a pinned one is soon gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --workspace --bins \
    && install -D -t /out target/release/sluicebox target/release/mock-warehouse

FROM debian:12.11-slim AS runtime
# librdkafka reads the system's root certificates.
# Not pinned: Debian keeps only the newest version of a package, so a pinned one is soon gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /app --create-home sluicebox \
    && install -d -o sluicebox -g sluicebox -m 0700 /keys /data
USER 10001
WORKDIR /app

FROM runtime AS mock-warehouse
COPY --from=build /out/mock-warehouse /usr/local/bin/
VOLUME ["/data"]
EXPOSE 8084
ENTRYPOINT ["mock-warehouse"]
CMD ["--help"]

FROM runtime AS sluicebox
COPY --from=build /out/sluicebox /usr/local/bin/
COPY sluicebox.toml ./
COPY sql ./sql
EXPOSE 8080
ENTRYPOINT ["sluicebox"]
CMD ["run"]
