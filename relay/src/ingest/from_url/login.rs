//! Logging in to a camera: HTTP's basic (RFC 7617) and digest (RFC 7616)
//! schemes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::camera_url::Login;

/// One way to log in that a camera offers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    /// In small letters.
    scheme: String,
    /// Name, in small letters, and value.
    parameters: Vec<(String, String)>,
}

/// A hash function of RFC 7616.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Md5,
}

/// The value of `Authorization` for a GET of `target` that answers one of the
/// challenges, the safest that is known: SHA-256, MD5, basic. `client_nonce` is
/// a random text. `None` if none is known.
pub(super) fn authorization(
    login: &Login,
    fields: &[String],
    target: &str,
    client_nonce: &str,
) -> Option<String> {
    let challenges: Vec<_> = fields.iter().flat_map(|field| challenges(field)).collect();
    let digest = |algorithm| {
        let mut challenges = challenges.iter();
        challenges.find_map(|challenge| challenge.digest(algorithm, login, target, client_nonce))
    };
    let basic = || {
        let mut challenges = challenges.iter();
        challenges.find(|challenge| challenge.scheme == "basic")?;
        let login = format!("{}:{}", login.user, login.password);
        Some(format!("Basic {}", STANDARD.encode(login)))
    };
    digest(Algorithm::Sha256)
        .or_else(|| digest(Algorithm::Md5))
        .or_else(basic)
}

impl Challenge {
    fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let (_, value) = parameters.find(|(its, _)| its == name)?;
        Some(value)
    }

    /// The answer to a digest challenge of that algorithm (section 3.4).
    fn digest(
        &self,
        algorithm: Algorithm,
        login: &Login,
        target: &str,
        client_nonce: &str,
    ) -> Option<String> {
        if self.scheme != "digest" {
            return None;
        }
        let named = self.parameter("algorithm").unwrap_or("MD5");
        let (name, is_session) = match named.to_ascii_lowercase().strip_suffix("-sess") {
            Some(name) => (name.to_owned(), true),
            None => (named.to_ascii_lowercase(), false),
        };
        if name != algorithm.name() {
            return None;
        }
        let (realm, nonce) = (self.parameter("realm")?, self.parameter("nonce")?);
        // Without it, it is RFC 2069's digest, which old cameras have.
        let has_qop = match self.parameter("qop") {
            None => false,
            Some(offered) if offered.split(',').any(|qop| qop.trim() == "auth") => true,
            Some(_) => return None,
        };
        let Login { user, password } = login;
        let mut secret = algorithm.hash(&format!("{user}:{realm}:{password}"));
        if is_session {
            secret = algorithm.hash(&format!("{secret}:{nonce}:{client_nonce}"));
        }
        let request = algorithm.hash(&format!("GET:{target}"));
        let response = algorithm.hash(&match has_qop {
            true => format!("{secret}:{nonce}:00000001:{client_nonce}:auth:{request}"),
            false => format!("{secret}:{nonce}:{request}"),
        });
        let mut answer = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response={}, algorithm={named}",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(target),
            quoted(&response),
        );
        if has_qop {
            answer += ", qop=auth, nc=00000001";
        }
        if has_qop || is_session {
            answer += &format!(", cnonce={}", quoted(client_nonce));
        }
        if let Some(opaque) = self.parameter("opaque") {
            answer += &format!(", opaque={}", quoted(opaque));
        }
        Some(answer)
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Md5 => "md5",
        }
    }

    /// The hash of a text, in hexadecimal digits.
    fn hash(self, text: &str) -> String {
        let hash = match self {
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Md5 => Md5::digest(text).to_vec(),
        };
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The challenges of one `WWW-Authenticate` field (RFC 9110 section 11.6.1):
/// schemes and parameters are separated by commas alike, and a parameter is
/// what has an equals sign.
fn challenges(field: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = field;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return challenges;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start_matches([' ', '\t']);
        match rest.strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start_matches([' ', '\t']));
                rest = after;
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.push((name, value));
                }
            }
            None => challenges.push(Challenge {
                scheme: name,
                parameters: Vec::new(),
            }),
        }
    }
}

/// The value, a token or a quoted string, that `text` begins with, and what
/// follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The challenges of RFC 7616 section 3.9.1.
    const OFFERED: [&str; 2] = [
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
    ];

    fn answer(fields: &[&str], user: &str, password: &str) -> Option<String> {
        let login = Login {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        let client_nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        authorization(&login, &fields, "/dir/index.html", client_nonce)
    }

    #[test]
    fn digests_are_those_of_the_rfc() {
        let by = |fields: &[&str]| answer(fields, "Mufasa", "Circle of Life").unwrap();
        let sha256 = by(&OFFERED);
        let response = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert!(
            sha256.contains(&format!("response=\"{response}\"")),
            "{sha256}"
        );
        assert!(sha256.contains("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""));
        let md5 = by(&OFFERED[1..]);
        let response = "8ca523f5e9506fed4657c9700eebdbec";
        assert!(md5.contains(&format!("response=\"{response}\"")), "{md5}");
    }

    #[test]
    fn the_digest_of_rfc_2069_is_known_too() {
        let field = "Digest realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let answer = answer(&[field], "Mufasa", "CircleOfLife").unwrap();
        assert!(
            answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""),
            "{answer}"
        );
        assert!(!answer.contains("cnonce"), "{answer}");
    }

    #[test]
    fn basic_is_the_last_choice_and_nothing_is_made_up() {
        let basic = "Basic realm=\"a, Digest b\"";
        let answer_basic = answer(&[basic], "Aladdin", "open sesame").unwrap();
        assert_eq!(answer_basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let one_field = format!("{basic}, {}", OFFERED[1]);
        assert!(
            answer(&[&one_field], "a", "b")
                .unwrap()
                .starts_with("Digest ")
        );
        for unknown in [
            "",
            "Negotiate abc==",
            "Digest realm=\"a\"",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
            "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-512-256",
            "Digest realm=\"a\\",
        ] {
            assert_eq!(answer(&[unknown], "a", "b"), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_quoted_stays_quoted() {
        let field = "Digest realm=\"a \\\"b\\\"\", nonce=n";
        let answer = answer(&[field], "u\"", "p").unwrap();
        assert!(
            answer.contains(r#"username="u\"", realm="a \"b\"", nonce="n""#),
            "{answer}"
        );
    }
}
