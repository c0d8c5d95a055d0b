//! Bytes of a store that change on their own: what is damaged, who reads it, and what has to come of it. Made by `soak bytes` as often
//! as one likes, and by the test `bytes` as often as there is time for.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`content`] | what each key holds at a version, so that any process can tell right bytes from wrong ones |
//! | [`damage`] | the files of a store, and what can happen to them |
//! | [`campaign`] | rounds: fill, damage, read, verify, repair, fill again |

pub mod campaign;
pub mod content;
pub mod damage;

pub use campaign::{Campaign, Outcome};
pub use content::{KEYS, Sight};
pub use damage::{Kind, State};
