//! The relay's configuration file.
//!
//! It is TOML, and no key has to be there: `relay/packaging/relay.toml` lists all
//! of them, each with its default. A flag of the command line wins over the
//! file. A key that nobody knows is an error, since its writer meant something
//! by it.

mod values;
mod vocabulary;

use std::{
    fs::File,
    io::{self, Read as _},
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Spanned, de::DeTable};

use crate::{certificate::acme::Directory, limits::Limits, network::Network};

pub use values::{LogFormat, OptionalAddress, TunnelChoice};
pub(crate) use values::{count, head_bytes, time};

/// Where the file is unless another one is named. It may be missing there.
pub const DEFAULT_PATH: &str = "/etc/pinhole-relay/relay.toml";

/// Longest file that is read, in bytes. All keys with long comments take a tenth.
const MAX_LEN: u64 = 64 << 10;

/// What a file says. `None` and empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// Where viewers connect, over TCP.
    #[serde(deserialize_with = "values::address")]
    pub listen: Option<SocketAddr>,
    /// Where a reverse proxy connects, over TCP without TLS.
    pub plain_listen: Option<OptionalAddress>,
    /// The proxies whose word on a client's address counts.
    #[serde(deserialize_with = "values::networks")]
    pub trusted_proxies: Vec<Network>,
    /// The other sites whose scripts may read what is served.
    #[serde(deserialize_with = "values::origins")]
    pub allowed_origins: Vec<String>,
    /// Where boxes connect, over UDP.
    #[serde(deserialize_with = "values::address")]
    pub tunnel_listen: Option<SocketAddr>,
    /// Where monitoring connects, over TCP.
    pub metrics_listen: Option<OptionalAddress>,
    /// Where plain HTTP is sent on to HTTPS.
    pub redirect_listen: Option<OptionalAddress>,
    /// What runs the tunnel.
    pub tunnel: Option<TunnelChoice>,
    /// How log lines are written.
    pub log: Option<LogFormat>,
    /// What viewers see as the relay's certificate.
    pub certificate: CertificateKeys,
    /// How much is given to each.
    pub limits: Limits,
}

/// `[certificate]`: one of its kinds, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateKeys {
    /// The certificate and those that lead to its root, a PEM file.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, a PEM file.
    pub private_key: Option<PathBuf>,
    /// Whether one is to be made that browsers warn of.
    pub self_signed: bool,
    /// The names that the certificate is for: one that is made, else one that
    /// is ordered from an authority.
    pub names: Vec<String>,
    /// An e-mail address at which the authority may write of trouble.
    pub contact: Option<String>,
    /// The authority.
    pub directory: Option<Directory>,
    /// More roots to trust when speaking to the authority, a PEM file.
    pub root: Option<PathBuf>,
}

/// Why a file cannot be gone by. The text names file, line and remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// It cannot be read.
    #[error(
        "cannot read the configuration {}: {source}; name another file with --config FILE", path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no configuration, but for its length.
    #[error(
        "the configuration {} is longer than {MAX_LEN} bytes; name another file with --config FILE", .0.display()
    )]
    TooLong(PathBuf),
    /// A line is wrong.
    #[error("{}:{line}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it, and what to write.
        what: String,
    },
}

impl Configuration {
    /// Reads the file at `path`; without one, the one at [`DEFAULT_PATH`] if it
    /// is there.
    ///
    /// # Errors
    /// See [`ConfigurationError`].
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigurationError> {
        let at = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match read_bounded(at) {
            Ok(Some(text)) => text,
            Ok(None) => return Err(ConfigurationError::TooLong(at.to_owned())),
            Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => {
                return Err(ConfigurationError::Read {
                    path: at.to_owned(),
                    source,
                });
            }
        };
        let mut configuration = Self::parse(&text).map_err(|fault| ConfigurationError::Wrong {
            path: at.to_owned(),
            line: text[..fault.at.min(text.len())].matches('\n').count() + 1,
            what: fault.what,
        })?;
        configuration.resolve_paths(at);
        Ok(configuration)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let table = DeTable::parse(text)?;
        vocabulary::check(table.get_ref())?;
        let heading = heading(table.get_ref());
        let configuration = Self::deserialize(toml::Deserializer::from(table))?;
        match configuration.certificate.contradiction() {
            Some(what) => Err(Fault::new(heading, what)),
            None => Ok(configuration),
        }
    }

    /// Paths in the file are meant from its folder.
    fn resolve_paths(&mut self, file: &Path) {
        let folder = file.parent().unwrap_or(Path::new(""));
        let keys = &mut self.certificate;
        for path in [&mut keys.certificate, &mut keys.private_key, &mut keys.root] {
            *path = path.as_ref().map(|path| folder.join(path));
        }
    }
}

impl CertificateKeys {
    /// Whether there is something that only an authority's certificate needs.
    fn is_for_an_authority(&self) -> bool {
        self.contact.is_some() || self.directory.is_some() || self.root.is_some()
    }

    fn contradiction(&self) -> Option<&'static str> {
        match (&self.certificate, &self.private_key, self.self_signed) {
            (Some(_), None, _) => Some("certificate needs its private_key beside it"),
            (None, Some(_), _) => Some("private_key needs its certificate beside it"),
            (Some(_), _, true) => Some("choose: certificate and private_key, or self_signed"),
            (Some(_), ..) if !self.names.is_empty() => {
                Some("names are not for a certificate from files, which has its own")
            }
            _ if !self.is_for_an_authority() => None,
            (None, _, false) if self.names.is_empty() => Some(
                "contact, directory and root are for a certificate that is ordered: say for which names, with names = [\"cam.example.org\"]",
            ),
            (None, _, false) => None,
            _ => Some(
                "choose: contact, directory and root are for a certificate that is ordered, not for one from files or a self-signed one",
            ),
        }
    }
}

/// What is wrong with a text, and where.
#[derive(Debug)]
struct Fault {
    /// In bytes from the text's start.
    at: usize,
    what: String,
}

impl Fault {
    fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self {
            at: span.start,
            what: what.into(),
        }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        Self::new(span, error.message().replace('\n', ", "))
    }
}

/// Where `[certificate]` stands.
fn heading(table: &DeTable<'_>) -> Range<usize> {
    let heading = table.get("certificate").map(Spanned::span);
    heading.unwrap_or_default()
}

/// The text at `path`; `None` where it is too long.
fn read_bounded(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_LEN + 1)
        .read_to_string(&mut text)?;
    Ok((read as u64 <= MAX_LEN).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is installed for users to start from.
    const EXAMPLE: &str = include_str!("../../packaging/relay.toml");

    fn fault(text: &str) -> (usize, String) {
        let fault = Configuration::parse(text).unwrap_err();
        (text[..fault.at].matches('\n').count() + 1, fault.what)
    }

    /// The example with what stands behind `mark` at a line's start taken in.
    fn uncommented(mark: &str) -> String {
        let lines = EXAMPLE.lines().map(|line| {
            line.strip_prefix(mark)
                .filter(|line| !line.starts_with(' '))
                .unwrap_or(line)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_says_nothing_until_it_is_edited() {
        let configuration = Configuration::parse(EXAMPLE).unwrap();
        assert_eq!(configuration, Configuration::default());
    }

    #[test]
    fn the_example_has_each_key() {
        let example: Vec<_> = uncommented("#").lines().map(str::to_owned).collect();
        for (section, keys) in vocabulary::KEYS {
            let heading = format!("[{section}]");
            let start = example.iter().position(|line| *line == heading);
            let lines = &example[start.map_or(0, |at| at + 1)..];
            let end = lines.iter().position(|line| line.starts_with('['));
            let lines = &lines[..end.unwrap_or(lines.len())];
            for key in keys {
                let assignment = format!("{key} = ");
                let is_key =
                    |line: &&String| line.trim_start_matches(['#', ' ']).starts_with(&assignment);
                assert_eq!(lines.iter().filter(is_key).count(), 1, "{key}");
            }
        }
    }

    #[test]
    fn a_key_that_nobody_knows_is_told_with_its_line_and_the_one_that_was_meant() {
        let (line, what) = fault("listen = \"[::]:443\"\n\nlisten_tunnel = 1\n");
        assert_eq!(line, 3);
        assert!(what.contains("no key listen_tunnel"), "{what}");
        let (line, what) = fault("[limits]\nhead_byte = 1\n");
        assert_eq!(line, 2);
        assert!(what.ends_with("did you mean head_bytes?"), "{what}");
        let (_, what) = fault("viewers_per_camera = 3\n");
        assert!(what.ends_with("it belongs in [limits]"), "{what}");
        let (line, what) = fault("\n[limit]\n");
        assert_eq!(line, 2);
        assert!(what.ends_with("did you mean [limits]?"), "{what}");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_line_and_what_to_write() {
        for (text, at, said) in [
            ("\nlisten = \"443\"", 2, "[::]:443"),
            ("listen = 443", 1, "[::]:443"),
            ("tunnel = \"fast\"", 1, "in-process"),
            ("log = \"xml\"", 1, "json"),
            ("[limits]\nhead_time = 10", 2, "\"10s\""),
            ("[limits]\nhead_time = \"0s\"", 2, "from 1s to"),
            ("[limits]\nconnections = 0", 2, "from 1 to"),
            ("[limits]\nconnections = -1", 2, "from 1 to"),
            ("[limits]\nhead_bytes = 100", 2, "from 1024 to"),
            ("limits = 1", 1, ""),
            (
                "trusted_proxies = [\n\"10.0.0.0/8\",\n\"x\"]",
                1,
                "192.0.2.0/24",
            ),
            (
                "allowed_origins = [\"https://a.example/page\"]",
                1,
                "https://example.org",
            ),
            ("metrics_listen = \"no\"", 1, "or \"off\""),
            ("listen = ", 1, ""),
            (
                "\n[certificate]\nprivate_key = \"k\"",
                2,
                "needs its certificate",
            ),
            (
                "[certificate]\ncertificate = \"c\"\nprivate_key = \"k\"\nself_signed = true",
                1,
                "choose",
            ),
            (
                "\n[certificate]\ncontact = \"a@b.example\"",
                2,
                "say for which names",
            ),
            ("[certificate]\ndirectory = \"staging\"", 1, "names = ["),
            (
                "[certificate]\nself_signed = true\nroot = \"r.pem\"",
                1,
                "not for one from files or a self-signed one",
            ),
        ] {
            let (line, what) = fault(text);
            assert_eq!(line, at, "{text}: {what}");
            assert!(what.contains(said), "{text}: {what}");
            assert!(!what.contains('\n'), "{what}");
        }
    }

    #[test]
    fn a_missing_file_matters_only_if_it_was_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.toml");
        let error = Configuration::read(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("relay.toml"), "{error}");
        std::fs::write(
            &path,
            "[certificate]\ncertificate = \"c\"\nprivate_key = \"/k\"\n",
        )
        .unwrap();
        let keys = Configuration::read(Some(&path)).unwrap().certificate;
        assert_eq!(keys.certificate, Some(directory.path().join("c")));
        assert_eq!(keys.private_key, Some("/k".into()));
        std::fs::write(&path, "#".repeat(70_000)).unwrap();
        let error = Configuration::read(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
