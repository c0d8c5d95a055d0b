//! Request traces, and how often a policy, or a daemon that follows one, has what they ask for.

mod live;
mod outcome;
mod rehearsal;
mod trace;

pub use live::live;
pub use outcome::Outcome;
pub use rehearsal::rehearse;
pub use trace::{Trace, TraceError};
