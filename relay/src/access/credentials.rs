//! What a request shows to be let in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pinhole_link::http::Request;

use super::token::Token;

/// The key of a link's token in a URL's query.
pub const TOKEN_KEY: &str = "token";

/// The cookie that carries a camera's link, bound to the camera's path.
pub(crate) const CAMERA_COOKIE: &str = "__Secure-pinhole";

/// The cookie that carries a link to all cameras. Its prefix binds it to the
/// host and to `/` (RFC 6265bis section 4.1.3).
pub(crate) const ALL_COOKIE: &str = "__Host-pinhole";

/// What a request shows. Only what has the right form is in it.
#[derive(Default)]
pub(super) struct Credentials {
    /// The tokens that whoever asks shows on purpose: in the URL, or as a
    /// bearer's (RFC 6750 section 2.1).
    pub(super) shown: Vec<Token>,
    /// Those that a browser sends along by itself, as cookies.
    pub(super) remembered: Vec<Token>,
    /// A token of any form is shown.
    pub(super) has_token: bool,
    /// The password of HTTP Basic (RFC 7617). Any user name will do.
    pub(super) password: Option<String>,
}

impl Credentials {
    pub(super) fn of(request: &Request) -> Self {
        let in_url = request.query(TOKEN_KEY);
        let authorization = request.field("Authorization");
        let bearer = authorization.and_then(|field| after_scheme(field, "Bearer"));
        let cookies = request.field("Cookie").unwrap_or_default();
        let in_cookies = cookies.split(';').filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            [CAMERA_COOKIE, ALL_COOKIE].contains(&name).then_some(value)
        });
        let shown = in_url.as_deref().into_iter().chain(bearer);
        Self {
            has_token: in_url.is_some() || bearer.is_some(),
            shown: shown.filter_map(|token| token.parse().ok()).collect(),
            remembered: in_cookies.filter_map(|token| token.parse().ok()).collect(),
            password: authorization.and_then(basic_password),
        }
    }

    /// All tokens, those that are shown first.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.shown.iter().chain(&self.remembered)
    }
}

/// What follows the name of an authentication scheme, where it is that one.
fn after_scheme<'field>(field: &'field str, wanted: &str) -> Option<&'field str> {
    let (scheme, credentials) = field.trim().split_once(' ')?;
    let credentials = credentials.trim();
    scheme.eq_ignore_ascii_case(wanted).then_some(credentials)
}

fn basic_password(field: &str) -> Option<String> {
    let credentials = after_scheme(field, "Basic")?;
    let decoded = STANDARD.decode(credentials).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    // A user name has no colon, a password may have some.
    let (_, password) = decoded.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AGtJ0gCbgzUM_CGrZA6pHsAJavbc";
    const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn credentials(target: &str, fields: &str) -> Credentials {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        Credentials::of(&smol::block_on(Request::parse(head.as_bytes())).unwrap())
    }

    #[test]
    fn tokens_come_in_the_url_and_in_cookies() {
        let found = credentials(
            &format!("/porch?page=1&token={TOKEN}"),
            &format!("Cookie: a=b; __Host-pinhole={OTHER};x;__Secure-pinhole=short\r\n"),
        );
        let tokens: Vec<_> = found.tokens().map(Token::to_string).collect();
        assert_eq!(tokens, [TOKEN, OTHER]);
        assert!(found.has_token && found.shown.len() == 1);
        let found = credentials("/porch?token=x", "");
        assert!(found.tokens().next().is_none() && found.has_token);
        let found = credentials("/porch", &format!("Authorization: bearer {TOKEN}\r\n"));
        assert_eq!(found.shown[0].to_string(), TOKEN);
        assert!(found.has_token && found.password.is_none());
        assert!(!credentials("/porch", "").has_token);
    }

    #[test]
    fn a_password_comes_with_any_user_name() {
        // `Aladdin:open sesame`, of RFC 7617 section 2; `:a:b`; `test:123£` of
        // section 2.1.
        for (field, password) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("open sesame")),
            ("basic  OmE6Yg==", Some("a:b")),
            ("Basic dGVzdDoxMjPCow==", Some("123£")),
            ("Basic QWxhZGRpbg==", None),
            ("Basic !", None),
            ("Basic /w==", None),
            ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
            ("Basic", None),
        ] {
            let found = credentials("/", &format!("Authorization: {field}\r\n"));
            assert_eq!(found.password.as_deref(), password, "{field}");
        }
    }
}
