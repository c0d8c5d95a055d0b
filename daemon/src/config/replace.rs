//! A file that is replaced as a whole: whoever reads it, or loses power, has the old one or the new one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// How many links are followed one after the other, as by the system.
const LINKS_MAX: usize = 40;

/// Writes the file, and the folders that it lies in where there are none. A link stays one, and so do owner and permissions.
///
/// Whoever calls holds a lock that all writers of the file wait for. The new file has the same name each time until it is in its place,
/// `.NAME.new`: what a process left there when it was killed is of no use to anyone, and goes with the next call.
///
/// # Errors
/// Where the system fails; then the old file is as it was. Only if it fails at the very end, when the folder can't be synced, the new
/// file is in its place, and a loss of power may bring the old one back.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = target_of(path)?;
    let folder = folder_of(&target);
    fs::create_dir_all(folder)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.new"));
    let written = write(&beside, &target, content).and_then(|()| fs::rename(&beside, &target));
    if written.is_err() {
        // It may not even be there; what is told is why.
        fs::remove_file(&beside).ok();
    }
    written?;
    File::open(folder)?.sync_all()
}

/// Returns the folder that a file is in; for a bare name that is the working folder.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns where a link leads in the end, also if there is nothing yet.
///
/// # Errors
/// Where there are too many links.
pub(super) fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..=LINKS_MAX {
        let Ok(next) = fs::read_link(&target) else { return Ok(target) };
        target = folder_of(&target).join(next);
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Gives the file the owner of the one that it replaces.
fn keep_owner(file: &File, like: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if own.uid() != like.uid() {
        return fchown(file, Some(like.uid()), Some(like.gid()));
    }
    if own.gid() != like.gid() {
        // One that the user is not in can't be given.
        fchown(file, None, Some(like.gid())).ok();
    }
    Ok(())
}

fn write(path: &Path, like: &Path, content: &[u8]) -> io::Result<()> {
    // It was left behind, and may be another's, with permissions of its own.
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Ok(metadata) = like.metadata() {
        keep_owner(&file, &metadata)?;
        file.set_permissions(fs::Permissions::from_mode(metadata.permissions().mode() & 0o777))?;
    }
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_one_and_so_do_the_permissions_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let [kept, link] = ["kept", "link"].map(|name| folder.path().join(name));
        fs::write(&kept, "old").unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.is_symlink() && fs::read(&kept).unwrap() == b"new");
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_to_what_is_not_there_yet_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("elsewhere/kept", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.is_symlink() && fs::read(folder.path().join("elsewhere/kept")).unwrap() == b"new");
    }

    #[test]
    fn links_are_followed_to_the_end_and_only_so_many_as_the_system_does() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: String| folder.path().join(name);
        symlink("kept", path("l1".into())).unwrap();
        for number in 2..=LINKS_MAX + 1 {
            symlink(format!("l{}", number - 1), path(format!("l{number}"))).unwrap();
        }
        let too_many = path(format!("l{}", LINKS_MAX + 1));
        for content in ["there is nothing", "there is something"] {
            replace(&path(format!("l{LINKS_MAX}")), content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(path("kept".into())).unwrap(), content);
            assert_eq!(
                replace(&too_many, b"new").unwrap_err().raw_os_error(),
                fs::metadata(&too_many).unwrap_err().raw_os_error()
            );
        }
        assert!((1..=LINKS_MAX).all(|number| path(format!("l{number}")).is_symlink()));
    }

    #[test]
    fn what_was_left_behind_half_written_goes_with_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        fs::write(folder.path().join(".kept.new"), "half").unwrap();
        replace(&kept, b"new").unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_bare_name_is_in_the_working_folder() {
        assert_eq!(
            ["c.toml", "./c.toml", "/c.toml", "a/c.toml"].map(|name| folder_of(Path::new(name))),
            [".", ".", "/", "a"].map(Path::new)
        );
    }

    #[test]
    fn folders_are_made_and_what_can_not_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(replace(&folder.path().join("a"), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
