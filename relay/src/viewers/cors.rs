//! Which other sites' scripts may read what is served here (the Fetch standard,
//! section 3.2).

use pinhole_link::http::{Request, Response};

/// What may be asked for.
pub(super) const METHODS: &str = "GET, HEAD, OPTIONS";

/// Header fields that a script may send.
const REQUEST_FIELDS: &str = "Authorization, Cache-Control, If-None-Match, Range";

/// How long a browser may remember the answer to its question, in seconds.
const MAX_AGE: &str = "86400";

/// What stands for all sites.
const ANY: &str = "*";

/// The header fields that tell a browser whether the site that `request` comes
/// from may read the answer.
pub(super) fn fields(allowed: &[String], request: &Request) -> Vec<(&'static str, String)> {
    if allowed.is_empty() {
        return Vec::new();
    }
    // With another site, the answer would be another.
    let mut fields = vec![("Vary", "Origin".to_owned())];
    let Some(origin) = request.field("Origin") else {
        return fields;
    };
    let is_it = |allowed: &&String| allowed.eq_ignore_ascii_case(origin);
    if let Some(origin) = allowed.iter().find(is_it) {
        fields.push(("Access-Control-Allow-Origin", origin.clone()));
        // A password that the browser knows for this relay may be sent along.
        fields.push(("Access-Control-Allow-Credentials", "true".to_owned()));
    } else if allowed.iter().any(|allowed| allowed == ANY) {
        fields.push(("Access-Control-Allow-Origin", ANY.to_owned()));
    }
    fields
}

/// Tells what may be asked for.
pub(super) fn describe(response: &mut Response) {
    response.insert_header("Allow", METHODS);
    response.insert_header("Access-Control-Allow-Methods", METHODS);
    response.insert_header("Access-Control-Allow-Headers", REQUEST_FIELDS);
    response.insert_header("Access-Control-Max-Age", MAX_AGE);
}

/// Whether a request comes from a page of this relay's, or from no page at
/// all, as far as it says where it comes from (the Fetch Metadata draft; RFC
/// 6454 section 7). A browser says one of both with whatever is more than a
/// look.
pub(super) fn is_same_origin(request: &Request) -> bool {
    if let Some(site) = request.field("Sec-Fetch-Site") {
        return site == "same-origin";
    }
    let Some(origin) = request.field("Origin") else {
        return true;
    };
    let host = request.field("Host").unwrap_or_default();
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    of_origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_sites_page_is_told_from_our_own() {
        for (fields, is_same) in [
            ("", true),
            ("Sec-Fetch-Site: same-origin\r\n", true),
            ("Sec-Fetch-Site: same-site\r\n", false),
            (
                "Sec-Fetch-Site: cross-site\r\nOrigin: https://a:8443\r\n",
                false,
            ),
            ("Sec-Fetch-Site: none\r\n", false),
            ("Origin: https://a:8443\r\n", true),
            ("Origin: https://A:8443\r\n", true),
            ("Origin: https://a\r\n", false),
            ("Origin: https://a:8443.evil.example\r\n", false),
            ("Origin: null\r\n", false),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a:8443\r\n{fields}\r\n");
            let request = smol::block_on(Request::parse(head.as_bytes())).unwrap();
            assert_eq!(is_same_origin(&request), is_same, "{fields}");
        }
    }

    #[test]
    fn only_listed_sites_are_let_read() {
        let origin_for = |allowed: &[&str], origin: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{origin}\r\n");
            let request = smol::block_on(Request::parse(head.as_bytes())).unwrap();
            let allowed: Vec<_> = allowed.iter().map(|site| (*site).to_owned()).collect();
            let fields = fields(&allowed, &request);
            let value = |name| {
                let field = fields.iter().find(|(named, _)| *named == name);
                field.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            (
                value("Access-Control-Allow-Origin"),
                value("Access-Control-Allow-Credentials"),
                value("Vary"),
            )
        };
        let told = |origin: &str, credentials: &str, vary: &str| {
            (origin.to_owned(), credentials.to_owned(), vary.to_owned())
        };
        const SITE: &str = "https://site.example";
        const FROM_SITE: &str = "Origin: https://site.example\r\n";
        assert_eq!(origin_for(&[], FROM_SITE), told("", "", ""));
        assert_eq!(origin_for(&[SITE], ""), told("", "", "Origin"));
        assert_eq!(origin_for(&[SITE], FROM_SITE), told(SITE, "true", "Origin"));
        let other = "Origin: https://site.example.evil.example\r\n";
        assert_eq!(origin_for(&[SITE], other), told("", "", "Origin"));
        assert_eq!(origin_for(&[SITE, "*"], other), told("*", "", "Origin"));
    }
}
