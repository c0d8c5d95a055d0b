//! What is wrong in a store: a line for people, an object for programs.

use std::io;

use datacache_proto::types::{Fault, Finding, MovedAside, Unread, Verification};
use serde::Serialize;

use super::aside::aside_line;
use super::entry::key_line;
use super::json::{self, JsonKey};
use super::line::one_line;

/// What `verify --json` tells. Scripts rely on the names.
#[derive(Serialize)]
struct Verified<'a> {
    entries: u64,
    blobs: u64,
    bytes: u64,
    findings: Vec<Found<'a>>,
    moved_aside: Option<&'a MovedAside>,
}

#[derive(Serialize)]
struct Found<'a> {
    fault: Fault,
    namespace: Option<&'a str>,
    key: Option<JsonKey<'a>>,
    sha256: Option<String>,
    unread: Option<&'a Unread>,
    repaired: bool,
}

impl<'a> From<&'a Finding> for Found<'a> {
    fn from(finding: &'a Finding) -> Self {
        let (namespace, key) =
            finding.entry.as_ref().map(|(namespace, key)| (namespace.as_str(), JsonKey(key))).unzip();
        let sha256 = finding.digest.map(|digest| digest.to_string());
        let &Finding { fault, ref unread, repaired, .. } = finding;
        Self { fault, namespace, key, sha256, unread: unread.as_ref(), repaired }
    }
}

/// Returns the line of `verify --json`, without its end.
pub(crate) fn verified_json(outcome: &Verification) -> String {
    let &Verification { entries, blobs, bytes, ref findings, ref moved_aside } = outcome;
    let findings = findings.iter().map(Found::from).collect();
    json::to_line(&Verified { entries, blobs, bytes, findings, moved_aside: moved_aside.as_ref() })
}

/// Returns the findings as lines for people.
pub(crate) fn finding_lines(outcome: &Verification) -> impl Iterator<Item = String> {
    outcome.findings.iter().map(|finding| match &outcome.moved_aside {
        Some(aside) if finding.fault == Fault::LostIndex => format!("{}: {}", finding.fault, aside_line(aside)),
        _ => finding_line(finding),
    })
}

/// Tells whether something is left that a repair mends.
pub(crate) fn can_be_mended(outcome: &Verification) -> bool {
    let is_for_hands = |fault| matches!(fault, Fault::LostIndex | Fault::UnreadableBlob);
    outcome.findings.iter().any(|finding| !finding.repaired && !is_for_hands(finding.fault))
}

/// Returns one finding as a line: `missing blob: NAMESPACE/KEY, sha256 …: repaired`.
fn finding_line(finding: &Finding) -> String {
    let entry = finding.entry.as_ref().map(|(namespace, key)| format!("{}/{}", one_line(namespace), key_line(key)));
    let blob = finding.digest.map(|digest| format!("sha256 {digest}"));
    let unread = finding.unread.as_ref().map(unread_line);
    let about: Vec<_> = entry.into_iter().chain(blob).chain(unread).collect();
    let state = state(finding);
    match about.as_slice() {
        [] => format!("{}: {state}", finding.fault),
        about => format!("{}: {}: {state}", finding.fault, about.join(", ")),
    }
}

fn unread_line(unread: &Unread) -> String {
    format!("{}: {}", one_line(&unread.path), io::Error::from_raw_os_error(unread.errno))
}

/// Returns what became of it. Who has a whole index repaired loses what is in it, which is said before and after.
fn state(finding: &Finding) -> &'static str {
    match (finding.fault, finding.repaired) {
        (Fault::DamagedIndex, true) => "moved aside, all that was in it is lost; the store begins empty",
        (Fault::DamagedIndex, false) => "not repaired; a repair moves it aside, and all that is in it is lost",
        (Fault::UnreadableBlob, false) => {
            "left as it is; see to who may read it and what stands there, and verify again"
        }
        (_, true) => "repaired",
        (_, false) => "not repaired",
    }
}

#[cfg(test)]
mod tests {
    use super::super::aside::an_aside;
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::types::Digest;

    fn missing_blob() -> Finding {
        let entry = Some(("default".to_owned(), Key::text("a\nb")));
        Finding { fault: Fault::MissingBlob, entry, digest: Some(Digest([1; 32])), unread: None, repaired: true }
    }

    #[test]
    fn a_finding_is_one_line_that_names_what_it_is_about() {
        let line = format!("missing blob: default/a\\nb, sha256 {}: repaired", "01".repeat(32));
        assert_eq!(finding_line(&missing_blob()), line);
        let count = Finding { fault: Fault::WrongCount, entry: None, digest: None, unread: None, repaired: false };
        assert_eq!(finding_line(&count), "wrong count: not repaired");
    }

    #[test]
    fn a_damaged_index_is_told_with_what_its_repair_takes() {
        let line = |repaired| {
            finding_line(&Finding { fault: Fault::DamagedIndex, entry: None, digest: None, unread: None, repaired })
        };
        assert!(line(true).contains("all that was in it is lost"), "{}", line(true));
        assert!(
            line(false).starts_with("damaged index: not repaired; ") && line(false).contains("lost"),
            "{}",
            line(false)
        );
    }

    #[test]
    fn what_no_repair_mends_is_not_said_to_be_mendable() {
        let outcome = |fault, repaired| {
            let findings = vec![Finding { fault, entry: None, digest: None, unread: None, repaired }];
            Verification { findings, ..Verification::default() }
        };
        assert!(can_be_mended(&outcome(Fault::WrongCount, false)));
        assert!(!can_be_mended(&outcome(Fault::WrongCount, true)) && !can_be_mended(&outcome(Fault::LostIndex, false)));
        assert!(!can_be_mended(&outcome(Fault::UnreadableBlob, false)));
    }

    /// The path and what to do were in the daemon's log alone.
    #[test]
    fn a_value_that_can_not_be_read_is_told_with_where_it_is_and_why() {
        let unread = Some(Unread { path: "/s/blobs/01/02".into(), errno: 13 });
        let finding = Finding { fault: Fault::UnreadableBlob, unread, repaired: false, ..missing_blob() };
        let line = finding_line(&finding);
        assert!(line.starts_with("unreadable blob: default/a\\nb, sha256 01"), "{line}");
        assert!(line.contains(", /s/blobs/01/02: Permission denied (os error 13): left as it is; see to"), "{line}");
        let json = verified_json(&Verification { findings: vec![finding], ..Verification::default() });
        let unread = r#""unread":{"path":"/s/blobs/01/02","errno":13},"repaired":false"#;
        assert!(json.contains(unread) && json.contains(r#"{"fault":"unreadable-blob","#), "{json}");
    }

    #[test]
    fn a_sound_store_has_an_empty_list_of_findings() {
        let outcome = Verification { entries: 2, blobs: 1, bytes: 30, ..Verification::default() };
        let line = r#"{"entries":2,"blobs":1,"bytes":30,"findings":[],"moved_aside":null}"#;
        assert_eq!(verified_json(&outcome), line);
    }

    #[test]
    fn a_lost_index_is_a_finding_that_says_where_it_is_and_what_to_do() {
        let lost = Finding { fault: Fault::LostIndex, entry: None, digest: None, unread: None, repaired: false };
        let outcome = Verification { findings: vec![lost], moved_aside: Some(an_aside()), ..Verification::default() };
        let lines: Vec<_> = finding_lines(&outcome).collect();
        assert_eq!(lines, [format!("lost index: {}", aside_line(&an_aside()))]);
        let json = verified_json(&outcome);
        let aside = r#""moved_aside":{"folder":"/s/damaged","since_unix_ms":1714564800250,"bytes":512,"lost":{"values":3,"bytes":2097152}}"#;
        assert!(json.contains(aside) && json.contains(r#"{"fault":"lost-index","#), "{json}");
    }

    #[test]
    fn a_finding_keeps_its_key_exactly_in_json() {
        let outcome = Verification { findings: vec![missing_blob()], ..Verification::default() };
        let line = verified_json(&outcome);
        assert!(line.contains(r#"{"fault":"missing-blob","namespace":"default","key":"a\nb","sha256":"01"#), "{line}");
    }
}
