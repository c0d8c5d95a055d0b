//! The store by its public face, on real files, without any socket.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod between;
mod clock;
mod driver;
mod frames;
mod held;
mod learned;
mod limited;
mod limits;
mod model;
mod older;
mod packing;
mod places;
mod randomly;
mod recovery;
mod reserve;
mod staging;
mod swelling;
mod takeover;
mod verify;
