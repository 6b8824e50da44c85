//! The address of a camera that is no pinhole box.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::{Position, Url};

/// Where an MJPEG stream is had over HTTP, and with which login.
///
/// It may hold a password, so its `Debug` and `Display` forms leave that out;
/// only [`as_str`](Self::as_str) is whole.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CameraUrl(Url);

/// Text that is no [`CameraUrl`]. It does not repeat the text, which may hold a
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCameraUrl {
    /// It is no URL at all.
    #[error(
        "not a URL ({0}): expected one such as http://USER:PASSWORD@192.0.2.7:8080/stream, with %40 for an @ in the password"
    )]
    Malformed(url::ParseError),
    /// It holds what no login can.
    #[error("there is a control character in the user or the password")]
    Login,
    /// It is a URL, but none that a picture comes from.
    #[error("a camera's URL begins with http:// or https://")]
    Scheme,
}

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl CameraUrl {
    /// The URL as it was given, password included: for files of mode 0600.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether TLS is spoken there.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host's name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        // Both schemes have a host; `url` sees to it.
        let host = self.0.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        // Both schemes have a port by default.
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Host and port as the `Host` field has them (RFC 9110 section 7.2).
    pub fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }

    /// Path and query, as the request line has them.
    pub fn target(&self) -> &str {
        &self.0[Position::BeforePath..Position::AfterQuery]
    }

    /// Who to be there; `None` if the URL does not say.
    pub fn login(&self) -> Option<Login> {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let password = self.0.password().unwrap_or_default();
        let is_given = !self.0.username().is_empty() || !password.is_empty();
        is_given.then(|| Login {
            user: decoded(self.0.username()),
            password: decoded(password),
        })
    }

    /// Where a redirect to `location` leads, with the same login. `None` if
    /// that is another host, or would send the login unencrypted where it was
    /// not before: the login is this host's alone.
    pub fn redirected(&self, location: &str) -> Option<Self> {
        let mut to = self.0.join(location).ok()?;
        let is_same = to.host() == self.0.host();
        let is_as_safe = to.scheme() == "https" || to.scheme() == self.0.scheme();
        if !is_same || !is_as_safe {
            return None;
        }
        // They were valid in a URL with a host, so they are in this one.
        to.set_username(self.0.username()).ok()?;
        to.set_password(self.0.password()).ok()?;
        Self::try_from(to).ok()
    }
}

impl TryFrom<Url> for CameraUrl {
    type Error = InvalidCameraUrl;

    fn try_from(mut url: Url) -> Result<Self, Self::Error> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidCameraUrl::Scheme);
        }
        // It is the browser's, and never sent.
        url.set_fragment(None);
        let camera = Self(url);
        let has_control = |login: Login| (login.user + &login.password).contains(char::is_control);
        match camera.login().is_some_and(has_control) {
            true => Err(InvalidCameraUrl::Login),
            false => Ok(camera),
        }
    }
}

impl FromStr for CameraUrl {
    type Err = InvalidCameraUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(InvalidCameraUrl::Malformed)?;
        url.try_into()
    }
}

impl TryFrom<String> for CameraUrl {
    type Error = InvalidCameraUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for CameraUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme();
        // A query may hold a login too, as `?user=…&password=…`.
        let query = if self.0.query().is_some() { "?…" } else { "" };
        let login = if self.login().is_some() { "…@" } else { "" };
        let (authority, path) = (self.authority(), self.0.path());
        write!(formatter, "{scheme}://{login}{authority}{path}{query}")
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CameraUrl({self})")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Login(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> CameraUrl {
        text.parse().unwrap()
    }

    #[test]
    fn its_parts_are_those_of_a_request() {
        let camera = url("http://me:p%40ss@[2001:db8::1]:8080/a/b?c=d#e");
        assert_eq!((camera.host(), camera.port()), ("2001:db8::1", 8080));
        assert_eq!(camera.authority(), "[2001:db8::1]:8080");
        assert_eq!(camera.target(), "/a/b?c=d");
        let login = camera.login().unwrap();
        assert_eq!((&*login.user, &*login.password), ("me", "p@ss"));
        let camera = url("https://cam.example");
        assert_eq!((camera.port(), camera.target()), (443, "/"));
        assert_eq!(camera.login(), None);
    }

    #[test]
    fn what_is_shown_holds_no_password() {
        let camera = url("http://me:secret@h/a?pwd=secret");
        let shown = format!("{camera} {camera:?} {:?}", camera.login());
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("http://…@h/a?…"), "{shown}");
        for bad in [
            "secret",
            "http://me:secret%0D%0A@h/",
            "rtsp://me:secret@h/",
            "http://me:secret@:x/",
        ] {
            let error = bad.parse::<CameraUrl>().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn a_redirect_stays_with_its_host() {
        let camera = url("http://me:secret@h:8080/a");
        let to = |location| camera.redirected(location).map(|to| to.as_str().to_owned());
        assert_eq!(to("/b?c"), Some("http://me:secret@h:8080/b?c".to_owned()));
        assert_eq!(to("https://h/b"), Some("https://me:secret@h/b".to_owned()));
        assert_eq!(to("http://other/b"), None);
        assert_eq!(to("ftp://h/b"), None);
        assert_eq!(url("https://me@h/a").redirected("http://h/a"), None);
    }
}
