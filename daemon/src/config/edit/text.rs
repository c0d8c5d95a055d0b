//! The text of the configuration, parsed to be changed, and printed with the line ends and the byte order mark it had.

use std::fmt;
use std::str::FromStr;

use toml_edit::{DocumentMut, TomlError};

/// Has a line left out that is printed with it. No TOML has it outside of escapes, also not in comments.
pub(super) const GONE: &str = "\0";
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A file that is changed.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) document: DocumentMut,
    byte_order_mark: &'static str,
    line_end: &'static str,
}

impl FromStr for Text {
    type Err = TomlError;

    fn from_str(text: &str) -> Result<Self, TomlError> {
        let crlf = text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'));
        Ok(Self {
            document: text.parse()?,
            byte_order_mark: if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK } else { "" },
            line_end: if crlf { "\r\n" } else { "\n" },
        })
    }
}

impl fmt::Display for Text {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = self.document.to_string().replace("\r\n", "\n");
        let left = printed.split_inclusive('\n').filter(|line| !line.contains(GONE)).collect::<String>();
        to.write_str(self.byte_order_mark)?;
        to.write_str(&left.replace('\n', self.line_end))
    }
}
