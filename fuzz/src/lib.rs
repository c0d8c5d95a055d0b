//! What fuzzing feeds to the parts of datacache that read bytes they did not write, and to the service as a whole.
//!
//! Each file in `fuzz_targets/` is one program: libFuzzer calls it with inputs that it makes up, guided by which branches they
//! reach, and a panic or a hang is a find. What more has to hold than "no panic" is asserted there.
//!
//! | target | what it feeds, to what |
//! | --- | --- |
//! | `message`, `additions` | what a client sends: the envelope, `hello` and all other calls; the additions read in place |
//! | `answer` | what the daemon answers, as a client reads it |
//! | `wire` | frames in a stream that is cut anywhere |
//! | `calls` | messages of any content and order to a daemon that runs |
//! | `record`, `log` | records, segment headers, frames and operations, with checksums that are wrong or right |
//! | `recovery` | a log that was damaged, or has frames of any content, to a store that is opened |
//! | `staged` | names and files in the staging folder |
//! | `names` | keys, tags, names of namespaces, and the places of a store |
//! | `policy` | the saved state of an eviction, and additions and evictions that go on with it |
//! | `config` | configuration files, and the units that people type |
//! | `service` | calls in any order, over restarts and deaths of the daemon, beside a map that says what they should do |
//!
//! `seeds/TARGET` has what a target begins with, and every input that was a find once (`find-*`); `examples/seeds.rs` writes the
//! numbered ones anew after a change of the protocol. `.ci/fuzz` builds and runs all of it for a moment, `.ci/fuzz 900 TARGET`
//! one of them longer; with cargo-fuzz it is `cargo fuzz run TARGET fuzz/corpus/TARGET fuzz/seeds/TARGET`.

pub mod additions;
pub mod daemon;
pub mod death;
pub mod place;
pub mod script;
pub mod segment;

use std::cell::OnceCell;

use tokio::runtime::{Builder, Runtime};

/// Does something that wants a runtime to be there, on this thread's.
///
/// # Panics
/// Where the system has no more descriptors.
pub fn on_runtime(work: impl FnOnce()) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    let make = || Builder::new_current_thread().enable_io().build().expect("a runtime can be made");
    RUNTIME.with(|runtime| {
        runtime.get_or_init(make).block_on(async {
            work();
            // Only a turn of the runtime gives back what it kept for sockets that are closed by now.
            tokio::task::yield_now().await;
        });
    });
}
