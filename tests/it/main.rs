//! Tests through the door: a gateway, an upstream and a log of their own for each test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a test that meets what it does not expect fails, and says where"
)]

mod abuse;
mod admin;
mod admin_load;
mod admin_routes;
mod approvals;
mod auth_proxy;
mod built_in;
mod bypass;
mod certificates;
mod cli;
mod cli_audit;
mod cli_revert;
mod cli_timelines;
mod cli_times;
mod conformance;
mod console;
mod console_help;
mod console_pages;
mod console_policy;
mod console_views;
mod copies;
mod cors;
mod cost;
mod crash;
mod demo;
mod diagnostics;
mod disk_faults;
mod disk_space;
mod drift;
mod erase;
mod evidence;
mod evidence_daily;
mod export;
mod floods;
mod forward_proxy;
mod gateways;
mod governed;
mod graceful;
mod http1;
mod http2;
mod idempotency;
mod json;
mod kept;
mod keys;
mod leftovers;
mod lifecycle;
mod limits;
mod log_lines;
mod looks;
mod meaning;
mod oidc;
mod originals;
mod passthrough;
mod policy_evaluate;
mod policy_replay;
mod policy_test;
mod policy_told;
mod postgres;
mod redirects;
mod refusals;
mod reload;
mod retention;
mod retries;
mod rules;
mod service_accounts;
mod sessions;
mod settlement;
mod shared_limits;
mod simulation;
mod sinks;
mod stats;
mod store_faults;
mod strangers;
mod sweep;
mod timeouts;
mod tls;
mod unix_socket;
mod upstream;
mod witnesses;
mod world;
