//! Which errors of LMDB say that it met with damage, and not that something is short.

use heed::MdbError;
use rustix::io::Errno;

/// Tells whether LMDB says that what it reads is not what it wrote.
pub(super) fn is_damage(error: &heed::Error) -> bool {
    use MdbError::{
        BadDbi, BadTxn, BadValSize, Corrupted, CursorFull, Incompatible, Invalid, NotFound, PageFull, PageNotFound,
        Panic, Problem, VersionMismatch,
    };
    let heed::Error::Mdb(error) = error else { return false };
    matches!(
        error,
        BadDbi | BadTxn | BadValSize | Corrupted | CursorFull | Incompatible | Invalid | NotFound | PageFull
    ) || matches!(error, PageNotFound | Panic | Problem | VersionMismatch)
}

/// The same for who has had the index open: nobody else makes it longer, or changes the table of readers that it has.
pub(super) fn is_damage_in_use(error: &heed::Error) -> bool {
    match error {
        heed::Error::Mdb(MdbError::MapResized | MdbError::BadRslot) => true,
        heed::Error::Mdb(_) => is_damage(error),
        // What stands in the place of a lock in the table of readers is none.
        heed::Error::Io(error) => {
            let of_locks = [Errno::INVAL, Errno::NOTRECOVERABLE, Errno::DEADLK];
            error.raw_os_error().is_some_and(|code| of_locks.iter().any(|errno| errno.raw_os_error() == code))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_forbids_is_no_damage_and_what_nobody_else_can_have_changed_is() {
        let mdb = |error| heed::Error::Mdb(error);
        for error in [MdbError::MapFull, MdbError::ReadersFull, MdbError::TxnFull] {
            assert!(!is_damage_in_use(&mdb(error)) && !is_damage(&mdb(error)), "{error:?}");
        }
        assert!(is_damage(&mdb(MdbError::Corrupted)) && is_damage_in_use(&mdb(MdbError::Corrupted)));
        for error in [MdbError::MapResized, MdbError::BadRslot] {
            assert!(is_damage_in_use(&mdb(error)) && !is_damage(&mdb(error)), "{error:?}");
        }
        let io = |errno: Errno| heed::Error::Io(errno.into());
        assert!(is_damage_in_use(&io(Errno::INVAL)) && !is_damage(&io(Errno::INVAL)));
        assert!(!is_damage_in_use(&io(Errno::NOSPC)) && !is_damage_in_use(&io(Errno::IO)));
    }
}
