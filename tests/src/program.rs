//! The command `datacache` as cargo builds it, and programs that test single crates.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Names a command to test instead of the one in this workspace.
pub const PROGRAM_VARIABLE: &str = "DATACACHE_TEST_BIN";

/// Returns the path of the command; builds it where this process has not done so yet, in the profile of the tests.
///
/// # Panics
/// Where it can't be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let named = || std::env::var_os(PROGRAM_VARIABLE).map(|program| Ok(PathBuf::from(program)));
    // A failure is kept too: it is the same for every test.
    let build = || build(&["build", "--package=datacache", "--bin=datacache"]);
    let program = PROGRAM.get_or_init(|| named().unwrap_or_else(build));
    program.as_ref().unwrap_or_else(|told| panic!("the command can't be built: {told}"))
}

/// Builds the program with the tests of a crate that `test` names, and returns its path.
///
/// # Errors
/// What cargo says.
pub fn test_program(package: &str, test: &str) -> Result<PathBuf, String> {
    build(&["test", "--no-run", "--package", package, "--test", test])
}

/// Builds the program that clients are processes of, for those who are not handed its path: see [`Client`](crate::Client). Returns
/// where it is.
///
/// # Errors
/// What cargo says.
pub fn client_program() -> Result<PathBuf, String> {
    build(&["build", "--package=datacache-tests", "--bin=client-process"])
}

/// Cargo hands a package's tests the path of its own binaries only, and what is wanted belongs to another one.
fn build(what: &[&str]) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(what).args(["--quiet", "--message-format=json"]);
    command.arg("--manifest-path").arg(manifest).args(["--profile", &profile()]);
    let built = command.output().expect("cargo runs the tests, so it runs");
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages.lines().filter_map(executable).next_back();
    executable.ok_or_else(|| "cargo does not tell where it put it".into())
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}

/// Returns the profile that the running program was built in: the folder that it lies in has its name, that of a test above `deps`;
/// `debug` stands for `dev`.
fn profile() -> String {
    let exe = std::env::current_exe().unwrap();
    let folders = exe.ancestors().skip(1).filter_map(Path::file_name);
    match folders.filter_map(OsStr::to_str).find(|folder| *folder != "deps") {
        Some("debug") | None => "dev".into(),
        Some(profile) => profile.into(),
    }
}
