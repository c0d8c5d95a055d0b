//! The command `datacache` as cargo builds it, and programs that test single crates.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Names a command to test instead of the one in this workspace.
pub const PROGRAM_VARIABLE: &str = "DATACACHE_TEST_BIN";

/// The same for the one with failpoints.
pub const MORTAL_VARIABLE: &str = "DATACACHE_TEST_MORTAL_BIN";

/// How cargo names the command.
const COMMAND: &str = "datacache";

/// Has cargo build the command as `cargo test --workspace` does, which then has nothing to build: beside a test of its own, in which
/// case libraries have the features that any test wants. Alone it would have other ones, and be built from the ground up once more.
const BESIDE_ALL: [&str; 4] = ["test", "--no-run", "--workspace", "--test=command"];

/// Returns the path of the command; builds it where this process has not done so yet, in the profile of the tests.
///
/// # Panics
/// Where it can't be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    // A failure is kept too: it is the same for every test.
    let build = || build(COMMAND, &BESIDE_ALL);
    let program = PROGRAM.get_or_init(|| named(PROGRAM_VARIABLE).unwrap_or_else(build));
    program.as_ref().unwrap_or_else(|told| panic!("the command can't be built: {told}"))
}

/// Returns the path of the command with the feature `failpoints`: a daemon that can be had to die at named instants. Builds it
/// where this process has not done so yet, into a folder of its own: the command that is there stays as it is.
///
/// # Panics
/// Where it can't be built.
pub fn mortal_program() -> &'static Path {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || {
        let (folder, _) = place();
        // What is compiled lies where it always does, so that only what the feature changes is compiled once more.
        let shared = format!("build.build-dir={:?}", folder.display().to_string());
        let own = folder.join("failpoints").display().to_string();
        let differing = ["--features=datacache/failpoints", "--config", &shared, "--target-dir", &own];
        build(COMMAND, &[&BESIDE_ALL[..], &differing].concat())
    };
    let program = PROGRAM.get_or_init(|| named(MORTAL_VARIABLE).unwrap_or_else(build));
    program.as_ref().unwrap_or_else(|told| panic!("the command can't be built with failpoints: {told}"))
}

fn named(variable: &str) -> Option<Result<PathBuf, String>> {
    std::env::var_os(variable).map(|program| Ok(PathBuf::from(program)))
}

/// Builds the program with the tests of a crate that `test` names, and returns its path.
///
/// # Errors
/// What cargo says.
pub fn test_program(package: &str, test: &str) -> Result<PathBuf, String> {
    build(test, &["test", "--no-run", "--package", package, "--test", test])
}

/// Builds the program that clients are processes of, for those who are not handed its path: see [`Client`](crate::Client). Returns
/// where it is.
///
/// # Errors
/// What cargo says.
pub fn client_program() -> Result<PathBuf, String> {
    build("client-process", &["build", "--package=datacache-tests", "--bin=client-process"])
}

/// Cargo hands a package's tests the path of its own binaries only, and `target`, which is wanted, belongs to another one.
fn build(target: &str, what: &[&str]) -> Result<PathBuf, String> {
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
    let executable = messages.lines().filter_map(|message| executable(message, target)).next_back();
    executable.ok_or_else(|| "cargo does not tell where it put it".into())
}

fn executable(message: &str, target: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    (message["target"]["name"] == target).then(|| path.into())
}

/// Returns the profile that the running program was built in: the folder that it lies in has its name, that of a test above `deps`;
/// `debug` stands for `dev`.
fn profile() -> String {
    match place().1.as_str() {
        "debug" => "dev".into(),
        profile => profile.into(),
    }
}

/// Returns the folder of all that is built, and the name of the one in it where the running program lies.
fn place() -> (PathBuf, String) {
    let exe = std::env::current_exe().unwrap();
    let mut folders = exe.ancestors().skip(1);
    let folder =
        folders.find(|folder| folder.file_name() != Some(OsStr::new("deps"))).expect("programs lie in folders");
    let name = folder.file_name().and_then(OsStr::to_str).unwrap_or("debug").to_owned();
    (folder.parent().unwrap_or(folder).to_owned(), name)
}
