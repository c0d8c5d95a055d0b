//! Request traces, and how often a policy has what they ask for.

mod outcome;
mod rehearsal;
mod trace;

pub use outcome::Outcome;
pub use rehearsal::rehearse;
pub use trace::{Trace, TraceError};
