//! The settings of a daemon that runs, and how they are read again.

use std::error::Error;
use std::rc::Rc;

use datacache_proto::types::Reloaded;
use tokio::sync::watch;

use crate::config::{Config, ConfigError, Flags};
use crate::logging::Logging;
use crate::notify;

/// The settings of a daemon that runs; they can change.
#[derive(Clone, Debug)]
pub struct Settings {
    current: watch::Receiver<Config>,
    /// `None` where they don't come from file and environment, but from the program that the daemon is a part of.
    origin: Option<Rc<Origin>>,
}

/// Where settings are read from, and who is told of what was read.
#[derive(Debug)]
struct Origin {
    flags: Flags,
    sender: watch::Sender<Config>,
    logging: Logging,
}

/// Settings that were not read again; the old ones hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// They can't be taken as they are now.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// They come from nowhere that they could be read from.
    #[error("they are those of the program that the daemon is a part of")]
    Elsewhere,
}

impl ReloadError {
    /// Returns what is wrong in one line, with what caused it.
    pub(crate) fn in_words(&self) -> String {
        let causes = std::iter::successors(self.source(), |&error| error.source());
        causes.fold(self.to_string(), |told, cause| format!("{told}: {cause}"))
    }
}

/// Settings that only the program changes that has the other end.
impl From<watch::Receiver<Config>> for Settings {
    fn from(current: watch::Receiver<Config>) -> Self {
        Self { current, origin: None }
    }
}

impl Settings {
    /// Makes the settings of a daemon that has a process and a log of its own.
    pub(crate) fn of_process(config: Config, flags: Flags, logging: Logging) -> Self {
        let (sender, current) = watch::channel(config);
        Self { current, origin: Some(Rc::new(Origin { flags, sender, logging })) }
    }

    /// Returns the settings as they are, and will be.
    pub(crate) fn current(&self) -> watch::Receiver<Config> {
        self.current.clone()
    }

    /// Takes over what changed in file and environment, and tells the log and the service manager of it.
    ///
    /// # Errors
    /// Where they can't be read; then everything stays as it is.
    pub(crate) fn reload(&self) -> Result<Reloaded, ReloadError> {
        notify::reloading();
        let reloaded = self.origin.as_ref().ok_or(ReloadError::Elsewhere).and_then(|origin| origin.reload());
        match &reloaded {
            Ok(_) => tracing::info!("the configuration was read again"),
            Err(error) => {
                let error = error as &dyn Error;
                tracing::error!(error, "the configuration can't be read again, the old one holds");
            }
        }
        notify::ready("serving");
        reloaded
    }
}

impl Origin {
    fn reload(&self) -> Result<Reloaded, ReloadError> {
        let (new, waiting) = self.sender.borrow().reloaded(Config::load(&self.flags)?);
        for setting in &waiting {
            tracing::warn!(setting, "this setting has changed, it holds after a restart");
        }
        self.logging.set(&new.log);
        let waiting = waiting.iter().map(|&setting| setting.to_owned()).collect();
        let reloaded = Reloaded { waiting, ..new.told() };
        self.sender.send_replace(new);
        Ok(reloaded)
    }
}
