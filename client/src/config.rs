//! What applies to every `add` of a client: the reference's configuration, with its names or ours.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::hash::HashType;
use datacache_proto::key::{Key, Tag, check_namespace};
use datacache_proto::time::Lifetime;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::expire::DEFAULT_LIFETIME;

/// Defaults of a client. Read from JSON or TOML with the reference's names (`accessKey`) or ours (`access_key`).
///
/// A name that is neither is refused, and so is a value that can't be meant; `null` is the same as absent.
///
/// # Examples
/// ```
/// use datacache_client::{Config, Lifetime};
///
/// let config = Config::from_json(r#"{"cacheDir": "oteapi", "expireTime": 0, "hashType": "md5"}"#)?;
/// assert_eq!(config.expire_time, Lifetime::Never);
///
/// let error = Config::from_toml("expire_tme = 60").unwrap_err();
/// assert_eq!(error.to_string(), "unknown field `expire_tme`, did you mean `expire_time`?");
/// # Ok::<(), datacache_client::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Json>")]
pub struct Config {
    /// The key of an entry that is added without one. Default: none, which makes it the hash of the value.
    pub access_key: Option<Key>,
    /// The hash that makes such keys. Default: SHA-256.
    pub hash_type: HashType,
    /// The life of an entry that is added without saying how long; seconds, or a duration as text (`"14d"`). Default: 14 days.
    /// 0 is never.
    pub expire_time: Lifetime,
    /// A tag that every entry gets, next to its own. Default: none.
    pub tag: Option<Tag>,
    /// A name selects a namespace of the user's store; an absolute path selects a store of its own. Default: none.
    pub cache_dir: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            access_key: None,
            hash_type: HashType::default(),
            expire_time: Lifetime::For(DEFAULT_LIFETIME),
            tag: None,
            cache_dir: None,
        }
    }
}

/// The names of the fields: ours, and the reference's.
const FIELDS: [(&str, &str); 5] = [
    ("access_key", "accessKey"),
    ("hash_type", "hashType"),
    ("expire_time", "expireTime"),
    ("tag", "tag"),
    ("cache_dir", "cacheDir"),
];

/// How alike two names must be so that one is suggested for the other, of 1.
const ALIKE: f64 = 0.8;

impl Config {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields: BTreeMap<String, Json> =
            serde_json::from_str(text).map_err(|source| ConfigError::Json { source })?;
        fields.try_into()
    }

    /// Reads a TOML document.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let fields: BTreeMap<String, Json> =
            toml::from_str(text).map_err(|source| ConfigError::Toml { source: Box::new(source) })?;
        fields.try_into()
    }

    /// Reads a file: JSON where its name ends in `.json`, else TOML.
    ///
    /// # Errors
    /// [`ConfigError::File`] where it can't be read, [`ConfigError::InFile`] where its content can't be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let config = if is_json { Self::from_json(&text) } else { Self::from_toml(&text) };
        config.map_err(|source| ConfigError::InFile { path: path.to_owned(), source: Box::new(source) })
    }

    /// Returns the folder of the store of its own that `cache_dir` selects.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.cache_dir.as_deref().map(Path::new).filter(|path| path.is_absolute())
    }

    /// Returns the namespace that `cache_dir` selects.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.cache_dir.as_deref().filter(|name| !Path::new(name).is_absolute())
    }

    fn set(&mut self, field: &'static str, value: Json) -> Result<(), ConfigError> {
        match field {
            "access_key" => self.access_key = Some(parsed(field, value, |text| checked_key(&text))?),
            "hash_type" => self.hash_type = parsed(field, value, |text| text.parse::<HashType>())?,
            "expire_time" => self.expire_time = lifetime(field, value)?,
            "tag" => self.tag = Some(parsed(field, value, |text| Tag::new(&text))?),
            _ => self.cache_dir = Some(parsed(field, value, |text| checked_folder(&text))?),
        }
        Ok(())
    }
}

impl TryFrom<BTreeMap<String, Json>> for Config {
    type Error = ConfigError;

    fn try_from(fields: BTreeMap<String, Json>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut seen = Vec::new();
        for (name, value) in fields {
            let field = field_of(&name)?;
            if seen.contains(&field) {
                return Err(ConfigError::Twice { name: field });
            }
            seen.push(field);
            if !value.is_null() {
                config.set(field, value)?;
            }
        }
        Ok(config)
    }
}

fn field_of(name: &str) -> Result<&'static str, ConfigError> {
    let known = FIELDS.into_iter().find(|(ours, theirs)| name == *ours || name == *theirs);
    known.map(|(ours, _)| ours).ok_or_else(|| ConfigError::Unknown { name: name.to_owned(), nearest: nearest(name) })
}

fn nearest(name: &str) -> Option<&'static str> {
    FIELDS
        .into_iter()
        .flat_map(|(ours, theirs)| [ours, theirs])
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

fn parsed<T, E>(name: &'static str, value: Json, parse: impl FnOnce(String) -> Result<T, E>) -> Result<T, ConfigError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let Json::String(text) = value else {
        return Err(ConfigError::Type { name, expected: "text" });
    };
    parse(text).map_err(|source| ConfigError::Field { name, source: Box::new(source) })
}

fn lifetime(name: &'static str, value: Json) -> Result<Lifetime, ConfigError> {
    let seconds = value.as_f64();
    let lifetime = match (seconds, value) {
        (Some(seconds), _) => Lifetime::from_seconds(seconds),
        (None, Json::String(text)) => text.parse(),
        _ => return Err(ConfigError::Type { name, expected: "a number of seconds, or a duration as text" }),
    };
    lifetime.map_err(|source| ConfigError::Field { name, source: Box::new(source) })
}

fn checked_key(text: &str) -> Result<Key, datacache_proto::key::KeyError> {
    let key = Key::text(text);
    key.check().map(|()| key)
}

fn checked_folder(text: &str) -> Result<String, datacache_proto::key::NamespaceError> {
    if !Path::new(text).is_absolute() {
        check_namespace(text)?;
    }
    Ok(text.to_owned())
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's content can't be used.
    #[error("the configuration `{}` can't be used", .path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Self>,
    },
    /// It is not a JSON object.
    #[error("the configuration is not a JSON object")]
    Json {
        /// Where it is not.
        source: serde_json::Error,
    },
    /// It is not TOML.
    #[error("the configuration is not TOML")]
    Toml {
        /// Where it is not.
        source: Box<toml::de::Error>,
    },
    /// No field has that name.
    #[error("unknown field `{name}`{}", hint(*nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The name that is most like it.
        nearest: Option<&'static str>,
    },
    /// A field is there in both spellings.
    #[error("the field `{name}` is given twice, in two spellings")]
    Twice {
        /// The field.
        name: &'static str,
    },
    /// A field is of another type.
    #[error("the field `{name}` must be {expected}")]
    Type {
        /// The field.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A field's value can't be meant.
    #[error("the field `{name}` can't be used")]
    Field {
        /// The field.
        name: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!(", did you mean `{nearest}`?"),
        None => format!(", known are {}", FIELDS.map(|(ours, _)| ours).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use std::time::Duration;

    #[test]
    fn both_spellings_and_both_formats_say_the_same() {
        let json = Config::from_json(
            r#"{"accessKey": "k", "hashType": "SHA512", "expireTime": 0.5, "tag": "t", "cacheDir": "oteapi"}"#,
        );
        let toml = Config::from_toml(
            "access_key = 'k'\nhash_type = 'sha512'\nexpire_time = '0.5s'\ntag = 't'\ncache_dir = 'oteapi'",
        );
        let expected = Config {
            access_key: Some("k".into()),
            hash_type: HashType::Sha512,
            expire_time: Lifetime::For(Duration::from_millis(500)),
            tag: Some(Tag::new("t").unwrap()),
            cache_dir: Some("oteapi".into()),
        };
        assert_eq!(json.unwrap(), expected);
        assert_eq!(toml.unwrap(), expected);
    }

    #[test]
    fn nothing_given_is_the_documented_default() {
        for config in [Config::from_json("{}"), Config::from_json(r#"{"tag": null}"#), Config::from_toml("")] {
            assert_eq!(config.unwrap(), Config::default());
        }
        assert_eq!(Config::default().expire_time, Lifetime::For(Duration::from_secs(1_209_600)));
    }

    #[test]
    fn zero_seconds_mean_never() {
        assert_eq!(Config::from_json(r#"{"expireTime": 0}"#).unwrap().expire_time, Lifetime::Never);
        assert_eq!(Config::from_toml("expire_time = 0.0").unwrap().expire_time, Lifetime::Never);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_one() {
        let told = |name: &str| Config::from_json(&format!(r#"{{"{name}": 1}}"#)).unwrap_err().to_string();
        assert_eq!(told("acessKey"), "unknown field `acessKey`, did you mean `accessKey`?");
        assert_eq!(told("hash"), "unknown field `hash`, did you mean `hashType`?");
        assert_eq!(told("tags"), "unknown field `tags`, did you mean `tag`?");
        assert!(told("compression").ends_with("known are access_key, hash_type, expire_time, tag, cache_dir"));
    }

    #[test]
    fn a_field_in_both_spellings_is_refused() {
        let error = Config::from_json(r#"{"cacheDir": "a", "cache_dir": "b"}"#).unwrap_err();
        assert!(matches!(error, ConfigError::Twice { name: "cache_dir" }));
    }

    #[test]
    fn values_that_can_not_be_meant_are_refused_with_the_field_and_the_reason() {
        let reason = |text: &str| Config::from_json(text).unwrap_err().source().unwrap().to_string();
        assert!(reason(r#"{"accessKey": ""}"#).starts_with("the key is empty"));
        assert!(reason(r#"{"expireTime": -1}"#).contains("negative"));
        assert!(reason(r#"{"hashType": "crc32"}"#).starts_with("unknown hash type"));
        assert!(reason(r#"{"tag": ""}"#).starts_with("a tag is empty"));
        assert!(reason(r#"{"cacheDir": "a\nb"}"#).contains("control character"));
        let error = Config::from_json(r#"{"accessKey": 7}"#).unwrap_err();
        assert_eq!(error.to_string(), "the field `access_key` must be text");
    }

    #[test]
    fn a_path_selects_a_store_and_a_name_a_namespace() {
        let named = Config::from_json(r#"{"cacheDir": "oteapi"}"#).unwrap();
        assert_eq!((named.namespace(), named.store()), (Some("oteapi"), None));
        let placed = Config::from_json(r#"{"cacheDir": "/data/mine"}"#).unwrap();
        assert_eq!((placed.namespace(), placed.store()), (None, Some(Path::new("/data/mine"))));
    }

    #[test]
    fn the_ending_of_a_files_name_tells_its_format_and_errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("c.json");
        fs::write(&json, r#"{"tag": "t"}"#).unwrap();
        assert!(Config::from_file(&json).unwrap().tag.is_some());
        let toml = folder.path().join("c.toml");
        fs::write(&toml, "tagg = 't'").unwrap();
        let error = Config::from_file(&toml).unwrap_err();
        assert!(error.to_string().contains("c.toml"), "{error}");
        assert!(Config::from_file(folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
