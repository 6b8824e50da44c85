//! Why there is no certificate, and what to do about it.

use std::{fmt, time::Duration};

use instant_acme::Problem;

use super::{https::HttpsError, store::StoreError};

/// What the types of problems begin with (RFC 8555 section 6.7).
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// The longest that an authority's words are in the log, in bytes.
const LONGEST_WORDS: usize = 500;

/// Why an order failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The authority does not answer.
    Unreachable(HttpsError),
    /// It says no, to one of the names or to the whole.
    Refused(Option<String>, Problem),
    /// It offers no TLS-ALPN-01 for a name.
    NoChallenge(String),
    /// What it says is no ACME.
    Nonsense(String),
    /// It was not done in time.
    Slow,
    /// This relay failed to do its part.
    Own(String),
    /// What would be issued could not be kept.
    NoPlace(StoreError),
}

impl Trouble {
    /// How long to wait before the second attempt. One that the authority
    /// refused counts against a limit: Let's Encrypt's is five an hour for a
    /// name (letsencrypt.org/docs/rate-limits).
    pub(super) fn first_pause(&self) -> Duration {
        match self {
            Self::Unreachable(_) | Self::NoPlace(_) => Duration::from_secs(10),
            _ => Duration::from_secs(5 * 60),
        }
    }

    /// Whether the authority heard of the order, and may count it.
    pub(super) fn is_counted(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::NoPlace(_))
    }

    /// Whether the authority has forgotten the account.
    pub(super) fn is_unknown_account(&self) -> bool {
        matches!(self, Self::Refused(_, problem) if kind(problem) == "accountDoesNotExist")
    }
}

impl From<instant_acme::Error> for Trouble {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(mut problem) => {
                // One that names a name says more than the whole.
                let of_name = problem.subproblems.iter().find_map(|problem| {
                    match problem.identifier.as_ref()? {
                        instant_acme::Identifier::Dns(name) => {
                            Some((name.clone(), problem.clone()))
                        }
                        _ => None,
                    }
                });
                match of_name {
                    Some((name, of_name)) => {
                        problem.r#type = of_name.r#type;
                        problem.detail = of_name.detail;
                        Self::Refused(Some(name), problem)
                    }
                    None => Self::Refused(None, problem),
                }
            }
            instant_acme::Error::Other(error) => match error.downcast() {
                Ok(error) => Self::Unreachable(*error),
                Err(error) => Self::Nonsense(error.to_string()),
            },
            instant_acme::Error::Json(error) => Self::Nonsense(format!("no JSON ({error})")),
            error => Self::Nonsense(error.to_string()),
        }
    }
}

impl From<rcgen::Error> for Trouble {
    fn from(error: rcgen::Error) -> Self {
        Self::Own(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(
                formatter,
                "the authority cannot be reached: {error}; see that this machine may connect to it over HTTPS"
            ),
            Self::Refused(name, problem) => {
                let of_name = name.as_ref().map(|name| format!(" for {name}"));
                let subject = name.as_deref().unwrap_or("the name");
                write!(
                    formatter,
                    "the authority refuses{}: {} ({}); {}",
                    of_name.unwrap_or_default(),
                    printable(problem.detail.as_deref().unwrap_or("it does not say why")),
                    printable(kind(problem)),
                    remedy(kind(problem), subject)
                )
            }
            Self::NoChallenge(name) => write!(
                formatter,
                "the authority does not offer TLS-ALPN-01 for {name}; use certificate files, or another authority"
            ),
            Self::Nonsense(what) => write!(
                formatter,
                "the authority's answer makes no sense: {}; see that --acme-directory is the address of an ACME directory",
                printable(what)
            ),
            Self::Slow => formatter.write_str("the authority did not decide within five minutes"),
            Self::Own(what) => write!(formatter, "the order could not be made: {what}"),
            Self::NoPlace(error) => write!(
                formatter,
                "none is ordered, as it could not be kept and a restart would order again: {error}"
            ),
        }
    }
}

/// A problem's type, without what all begin with.
fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    kind.strip_prefix(PREFIX).unwrap_or(kind)
}

/// What to do about a problem of that type (RFC 8555 section 6.7, RFC 8659).
fn remedy(kind: &str, name: &str) -> String {
    match kind {
        "dns" => format!("give {name} an A or AAAA record with this host's public address"),
        "connection" | "tls" | "unauthorized" | "incorrectResponse" => format!(
            "see that all A and AAAA records of {name} lead to this host, that TCP port 443 there is open from everywhere and leads to --listen, and that no proxy ends TLS before the relay"
        ),
        "caa" => format!("a CAA record of {name} or above it forbids this authority: add it there"),
        "rateLimited" => {
            "wait until then; try things out with --acme-directory staging".to_owned()
        }
        "rejectedIdentifier" => format!("the authority does not issue for {name}: choose another name"),
        "invalidContact" | "unsupportedContact" => {
            "mend --acme-contact, or leave it out".to_owned()
        }
        "externalAccountRequired" => {
            "this authority wants an account made elsewhere, which pinhole-relay has no way to use: choose another".to_owned()
        }
        "userActionRequired" => "read the authority's terms at the address that it names".to_owned(),
        _ => "see what the authority says".to_owned(),
    }
}

/// What came from outside, fit for one line of the log.
fn printable(words: &str) -> String {
    let mut line = String::new();
    for character in words.chars() {
        if line.len() >= LONGEST_WORDS {
            line.push('…');
            break;
        }
        line.push(match character.is_control() {
            true => ' ',
            false => character,
        });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Trouble {
        let problem: Problem = serde_json::from_str(json).unwrap();
        instant_acme::Error::Api(problem).into()
    }

    #[test]
    fn a_refusal_names_the_name_the_words_and_the_remedy() {
        let trouble = problem(
            r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "several",
                "subproblems": [{"type": "urn:ietf:params:acme:error:caa",
                    "detail": "CAA forbids", "identifier": {"type": "dns", "value": "cam.example"}}]}"#,
        );
        assert_eq!(
            trouble.to_string(),
            "the authority refuses for cam.example: CAA forbids (caa); \
             a CAA record of cam.example or above it forbids this authority: add it there"
        );
        for (kind, said) in [
            ("dns", "A or AAAA record"),
            ("connection", "TCP port 443"),
            ("unauthorized", "no proxy"),
            ("rateLimited", "staging"),
        ] {
            let json = format!(r#"{{"type": "{PREFIX}{kind}", "detail": "x"}}"#);
            let trouble = problem(&json);
            assert!(trouble.to_string().contains(said), "{trouble}");
            assert!(!trouble.is_unknown_account());
        }
    }

    #[test]
    fn an_authoritys_words_stay_one_line() {
        let json = format!(r#"{{"detail": "a\nb\u001b[31m{}"}}"#, "x".repeat(10_000));
        let line = problem(&json).to_string();
        assert!(
            !line.contains(char::is_control) && line.len() < 1000,
            "{line}"
        );
    }
}
