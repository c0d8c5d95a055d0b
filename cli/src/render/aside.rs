//! What a user is told of the index that was moved aside: what happened, what is lost, and what to do.

use std::borrow::Cow;

use datacache_proto::types::{LostValues, MovedAside};

use super::human;
use super::line::one_line;
use super::moment::rfc3339;

/// Returns it as one line.
pub(crate) fn aside_line(aside: &MovedAside) -> String {
    let &MovedAside { ref folder, since, bytes, lost } = aside;
    format!(
        "the index was beyond reading, was moved to {} ({}) at {}, and the store began empty; {}; nothing is lost that can't be \
         computed again: once nobody wants to look at the folder, remove it with `rm -r {}`",
        one_line(folder),
        human::size(bytes),
        rfc3339(since),
        lost_values(lost),
        one_line(&shell_word(folder)),
    )
}

fn lost_values(lost: Option<LostValues>) -> String {
    match lost {
        None => "its large values, which are not in there, were removed".into(),
        Some(LostValues { values: 0, .. }) => "it had no large values".into(),
        Some(LostValues { values, bytes }) => {
            format!("its large values, which are not in there, were removed: {values} with {}", human::size(bytes))
        }
    }
}

/// Writes a path as a shell reads it.
fn shell_word(path: &str) -> Cow<'_, str> {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+,:@%=".contains(character);
    if path.starts_with('/') && path.chars().all(is_plain) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(format!("'{}'", path.replace('\'', r"'\''")))
}

/// An index that was moved aside, for tests.
#[cfg(test)]
pub(crate) fn an_aside() -> MovedAside {
    let since = datacache_proto::time::Timestamp::from_millis(1_714_564_800_250);
    let lost = Some(LostValues { values: 3, bytes: 2 << 20 });
    MovedAside { folder: "/s/damaged".into(), since, bytes: 512, lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lost_an_index_is_told_where_it_is_what_is_not_there_and_what_to_do() {
        let line = aside_line(&an_aside());
        for told in [
            "moved to /s/damaged (512 B) at 2024-05-01T12:00:00.250Z",
            "not in there, were removed: 3 with 2.00 MiB (2097152 bytes);",
            "remove it with `rm -r /s/damaged`",
        ] {
            assert!(line.contains(told), "{line}");
        }
        let line = |lost| aside_line(&MovedAside { lost, ..an_aside() });
        assert!(line(None).contains("its large values, which are not in there, were removed;"), "{}", line(None));
        assert!(line(Some(LostValues::default())).contains("it had no large values"));
    }

    #[test]
    fn the_command_names_the_folder_as_a_shell_reads_it() {
        assert_eq!(shell_word("/home/me/.cache/datacache/damaged"), "/home/me/.cache/datacache/damaged");
        assert_eq!(shell_word("/my store/damaged"), "'/my store/damaged'");
        assert_eq!(shell_word("/it's/$HOME"), r"'/it'\''s/$HOME'");
        assert_eq!(shell_word("-rf"), "'-rf'");
    }
}
