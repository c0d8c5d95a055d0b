//! The cross-process tests: real commands, real clients, a real daemon, and a home of its own for each test.

mod round_trip;
mod support;
