//! The store by its public face, on real files, without any socket.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clock;
mod driver;
mod frames;
mod held;
mod limits;
mod model;
mod older;
mod places;
mod randomly;
mod recovery;
mod staging;
mod takeover;
mod verify;
