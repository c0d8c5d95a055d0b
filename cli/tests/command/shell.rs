//! What a shell sees: help, completions, mistakes in the arguments, closed and full outputs.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::home::Home;

#[test]
fn mistakes_are_told_in_one_line_with_status_two() {
    let home = Home::new();
    for arguments in [
        &["nonsense"][..],
        &["get"],
        &["add", "--expire", "soon", "-"],
        &["add", "--expire", "-5", "-"],
        &["add", "--key", "", "-"],
        &["add", "--tag", "", "-"],
        &["get", ""],
        &["stat", "--key-type", "hex", "0xabc"],
        &["touch", "k", "--expire", "1e300d"],
        &["len", "--namespace", "a\nb"],
        &["hash", "--text", "--json"],
        &["completions", "tcl"],
        &["add", "missing"],
    ] {
        let ended = home.run(arguments);
        assert!(ended.error(2).len() > 20, "{arguments:?}");
    }
}

#[test]
fn too_many_tags_are_refused_before_a_daemon_is_asked() {
    let home = Home::new();
    let tags: Vec<_> = (0..65).map(|number| format!("--tag={number}")).collect();
    let arguments: Vec<_> = ["add", "-"].into_iter().chain(tags.iter().map(String::as_str)).collect();
    assert!(home.run(&arguments).error(2).contains("65 tags, the limit is 64"));
}

#[test]
fn help_goes_to_stdout_and_tells_the_exit_status() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    for word in ["Exit status:", "get-file", "--no-start", "completions"] {
        assert!(help.printed().contains(word), "{word}");
    }
    let version = home.run(&["--version"]);
    assert!(version.printed().starts_with("datacache "));
}

#[test]
fn no_command_at_all_shows_the_help_and_is_a_usage_error() {
    let ended = Home::new().run(&[]);
    assert_eq!((ended.status(), ended.stdout()), (2, ""));
    assert!(ended.stderr().contains("Usage: datacache"));
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = home.run(&["completions", shell]);
        let script = ended.printed();
        for known in ["get-file", "namespace", "processes", "idle-exit", "uninstall"] {
            assert!(script.contains(known), "{shell} does not know {known}");
        }
        for hidden in ["detached", "worker", "echo "] {
            assert!(!script.contains(&format!("-{hidden}")), "{shell} offers --{hidden}");
        }
    }
}

#[test]
fn a_reader_that_has_gone_ends_the_command_quietly() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = home.command(&["completions", "bash"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn a_full_output_is_a_failure() {
    let home = Home::new();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = home.command(&["completions", "bash"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("datacache: can't write `standard output`: "), "{line}");
}
