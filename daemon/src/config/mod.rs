//! The daemon's settings: flags over environment over file over default, each with where it came from.

mod amount;
pub mod edit;
mod file;
mod hint;
mod limits;
mod log_filter;
mod nearest;
mod quantity;
mod replace;
mod setting;
mod settings;
mod short_span;
mod values;
mod variable;

pub use amount::{Size, SizeError};
pub use file::FileError;
pub use hint::Hint;
pub use setting::{Fault, Source};
pub use settings::{Config, ConfigError, Flags};
pub use short_span::{ShortSpan, ShortSpanError};
pub use variable::Unknown;
