//! Which failures to read a file say that its bytes are lost, and not that the system is short of something, or somebody not let in.

use std::io;

use rustix::io::Errno;

/// Tells whether what a read was to bring is lost: the disk can't read the sector any more, or the filesystem finds it to be damaged.
/// Whoever reads it again meets with the same.
#[must_use]
pub fn is_lost(error: &io::Error) -> bool {
    let lost = [Errno::IO, Errno::UCLEAN, Errno::BADMSG];
    error.raw_os_error().is_some_and(|code| lost.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sector_is_a_loss_and_a_shortage_or_a_refusal_is_none() {
        let is = |errno: Errno| is_lost(&errno.into());
        assert!(is(Errno::IO) && is(Errno::UCLEAN) && is(Errno::BADMSG));
        for other in [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::PERM, Errno::NOENT, Errno::NOSPC]
        {
            assert!(!is(other), "{other}");
        }
        assert!(!is_lost(&io::ErrorKind::UnexpectedEof.into()));
    }
}
