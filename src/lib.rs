//! Changegate: an audit-logging reverse proxy for the API that runs scheduled AI agents.
//!
//! A client's call passes [`server`] (listeners, TLS), then `gateway`, which lets through what
//! is none of its business and leads every governed call through one function,
//! `gateway::exchange`. The modules in reading order:

pub mod base;
mod http;
mod net;
mod offload;
pub mod settings;
pub mod telemetry;

pub mod provider;

pub mod config;
pub mod deployment;
pub mod policy;

pub mod audit;
pub mod export;

mod upstream;

mod oidc;
mod outgoing;
pub mod sinks;
mod witnesses;

pub mod admin;
mod console;
mod gateway;
#[doc(hidden)]
pub use self::gateway::bench_api;
pub mod server;

pub mod simulator;

#[cfg(test)]
mod cases;
pub mod cli;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

/// Of every program of this package: calls allocate small things that live as long as they do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
