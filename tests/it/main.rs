//! Tests through the door: a gateway, an upstream and a log of their own for each test.

mod governed;
mod passthrough;
mod refusals;
mod world;
