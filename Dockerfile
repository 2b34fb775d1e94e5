# The program, built from the locked dependencies. rust-toolchain.toml stays outside the build
# (.dockerignore), so that the image's own toolchain is used and no other one is downloaded.
FROM rust:1-bookworm AS build
WORKDIR /build

# The dependencies alone, against empty sources: this layer holds until they change. A target that
# a Cargo.toml names, such as a [[bench]], needs an empty source here too.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY bench/Cargo.toml bench/
RUN mkdir src benches && touch src/lib.rs \
    && for main in src bench; do echo 'fn main() {}' > $main/main.rs; done \
    && touch benches/micro.rs \
    && cargo build --release --locked --bin changegate \
    && rm -r src

# The program itself. The touch makes it newer than what was built of the empty sources, whatever
# times the files were copied with.
COPY migrations migrations
COPY src src
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --bin changegate


# What runs: the program, certificate authorities, and a shell for the health check.
FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY docker/healthcheck /usr/local/bin/healthcheck
COPY --from=build /build/target/release/changegate /usr/local/bin/changegate

# The only place that is written, and only by a gateway: mount a volume there, which takes over this
# folder's owner and mode. No VOLUME, which would leave a nameless one behind each simulator and
# each gateway whose log was forgotten; --read-only tells of that at the start.
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/changegate

# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
ENV CHANGEGATE_CONFIG=/etc/changegate/changegate.toml
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Whether it lives; /readyz tells whether it can record.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["healthcheck", "8081", "/healthz"]
ENTRYPOINT ["changegate"]
CMD ["serve"]
