//! What the error says, and what is told of it.

use super::*;
use std::error::Error as _;

fn io_error(kind: io::ErrorKind) -> Error {
    Err::<(), _>(io::Error::from(kind)).during("write", Path::new("/x")).unwrap_err()
}

fn no_space() -> WireError {
    WireError::NoSpace { folder: "/s".into() }
}

#[test]
fn a_message_does_not_repeat_its_source() {
    let error = io_error(io::ErrorKind::PermissionDenied);
    assert_eq!(error.to_string(), "can't write `/x`");
    assert_eq!(error.source().unwrap().to_string(), "permission denied");
}

#[test]
fn an_unknown_outcome_is_not_taken_for_a_daemon_that_is_away() {
    let away = Error::NoDaemon { socket: "/s".into() };
    assert!(away.is_unavailable());
    let unknown = Error::UnknownOutcome { verb: "add", source: Some(Box::new(away)) };
    assert!(unknown.is_unknown_outcome() && !unknown.is_unavailable());
    assert_eq!(
        unknown.source().unwrap().to_string(),
        "no daemon listens at `/s`; start one with `datacache daemon`, or let the client start it"
    );
}

#[test]
fn a_full_disk_is_told_wherever_it_shows() {
    assert!(io_error(io::ErrorKind::StorageFull).is_no_space());
    let staged = io_error(io::ErrorKind::StorageFull).within(Path::new("/s"));
    assert!(staged.is_no_space());
    assert_eq!(staged.to_string(), no_space().to_string(), "as the daemon says it");
    assert!(matches!(io_error(io::ErrorKind::NotFound).within(Path::new("/s")), Error::Io { .. }));
    assert!(Error::from(no_space()).is_no_space());
    assert!(Error::from(WireError::IndexFull { limit: 1 }).is_no_space());
    assert!(!io_error(io::ErrorKind::NotFound).is_no_space());
}

#[test]
fn bad_input_is_told_whoever_noticed_it() {
    assert!(Error::from(KeyError::Empty).is_invalid_input());
    assert!(Error::from(WireError::Key(KeyError::Empty)).is_invalid_input());
    assert!(!Error::from(no_space()).is_invalid_input());
}

#[test]
fn what_is_wrong_with_one_of_a_batch_is_told_like_what_is_wrong_with_one_alone() {
    let ours = Error::InBatch { index: 3, source: Box::new(KeyError::Empty.into()) };
    assert!(ours.is_invalid_input() && !ours.is_too_large());
    assert_eq!(ours.to_string(), "item 3 of the batch can't be added");
    let away = Error::InBatch { index: 3, source: Box::new(Error::NoDaemon { socket: "/s".into() }) };
    assert!(away.is_unavailable() && !away.is_refused());
    let in_batch = |error| Error::from(WireError::InBatch { index: 3, error: Box::new(error) });
    let large = in_batch(WireError::TooLarge { size: 2, limit: 1 });
    assert!(large.is_too_large() && large.is_refused() && !large.is_invalid_input());
    assert!(in_batch(no_space()).is_no_space());
    let batch = Error::BatchTooLarge { what: "items", size: 9_000, limit: 8_192 };
    assert!(batch.is_too_large());
    assert_eq!(batch.to_string(), "9000 items are too many for one batch, the limit is 8192; split it");
}
