//! A scope for programs that wait.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::Error;

/// A scope of a blocking cache; see [`crate::Scope`]. Dropping it tells the daemon at once, and waits for the answer.
#[derive(Debug)]
pub struct Scope {
    /// `None` once it has ended.
    scope: Option<crate::Scope>,
    engine: Arc<Engine>,
}

impl Scope {
    /// Takes a scope, and what runs its calls.
    pub(super) fn new(scope: crate::Scope, engine: Arc<Engine>) -> Self {
        Self { scope: Some(scope), engine }
    }

    /// Ends the scope; returns how many entries went.
    ///
    /// # Errors
    /// Those of [`crate::Scope::end`].
    pub fn end(mut self) -> Result<u64, Error> {
        self.scope.take().map_or(Ok(0), |scope| self.engine.run(scope.end()))
    }
}

impl AsRef<crate::Scope> for Scope {
    fn as_ref(&self) -> &crate::Scope {
        self.scope.as_ref().expect("it is taken only by what consumes the scope")
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        match self.scope.take() {
            Some(scope) if scope.is_own() => {
                if let Err(error) = self.engine.run(scope.end()) {
                    tracing::warn!(%error, "a scope ended, and the daemon could not be told yet");
                }
            }
            // A forked child's: nothing is done.
            scope => drop(scope),
        }
    }
}
