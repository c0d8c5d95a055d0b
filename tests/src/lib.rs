//! What the cross-process tests stand on: homes that nothing leaves, the real command, and clients that are processes of
//! their own.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`home`] | a home with folders, an environment and a daemon of its own; all of it goes when it is dropped |
//! | [`run`] | the command `datacache`, run to its end |
//! | [`client`] | a process with the blocking client that does what it is told, so that it can be killed or forked |
//! | [`process`] | processes that are watched by descriptor: waited for, signalled, never mistaken for another |
//! | [`program`] | where the command is, built once |
//! | [`bytes`] | damage to the files of a store, and what has to come of it |
//! | [`churn`] | what keys hold at a version, and what a reader may see of them |
//! | [`history`] | what concurrent clients did and saw, and whether it can have been in some order |
//! | [`disk`] | what files take on the disk |
//! | [`kills`] | a daemon that dies under load, again and again |
//! | [`replay`] | traces of requests, and how often a policy has what they ask for |
//! | [`reads`] | which way values are read: directly or by call |
//! | [`wait`] | the one way to wait for something: a condition with a deadline |

#![expect(clippy::unwrap_used, reason = "what tests stand on fails as tests do")]

pub mod bytes;
pub mod churn;
pub mod client;
pub mod disk;
pub mod history;
pub mod home;
pub mod kills;
pub mod process;
pub mod program;
pub mod reads;
pub mod replay;
pub mod run;
pub mod wait;

pub use client::{AskError, Client};
pub use home::Home;
pub use process::Watched;
pub use run::{Outcome, Run};
pub use wait::eventually;

/// The examples of the README, so that they are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
