//! `service`: the systemd user units that start the daemon when somebody wants it.
//!
//! The texts of the units lie in the folder `systemd` of the repository. `units` brings them into the user's folder and out
//! of it, `systemctl` speaks to systemd, `manage` puts the two together.

mod error;
mod manage;
mod systemctl;
mod units;

pub(crate) use error::ServiceError;
pub(crate) use manage::{ServiceCommand, service};
pub(crate) use units::is_installed;
