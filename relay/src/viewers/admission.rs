//! Access as it looks over HTTP: refusals, cookies, and links for others.

use std::{net::IpAddr, sync::Arc, time::Duration};

use pinhole_link::{
    CameraName,
    http::{Request, Response, StatusCode},
};
use serde::Serialize;

use super::{
    Site, pages,
    routes::{fresh, html, text},
};
use crate::{
    access::{
        ALL_COOKIE, CAMERA_COOKIE, Denial, Expiry, Mode, Pass, Rule, Scope, TOKEN_KEY, Token,
    },
    camera::Camera,
};

/// How long a link that a page makes is valid unless it says otherwise, in
/// hours.
const HOURS: u32 = 24;

/// The longest that it may ask for: a year.
const MAX_HOURS: u32 = 366 * 24;

/// The cameras on the page of whoever asks.
pub(super) struct Visible {
    /// Each with the token that its links need, if they need one.
    pub(super) cameras: Vec<(Arc<Camera>, Option<Token>)>,
    /// On what they are seen.
    pub(super) pass: Pass,
    /// Why these are not all, in words.
    pub(super) notice: Option<String>,
}

/// The cameras that `request` may see without naming one: all for a link to
/// all, else the public ones.
pub(super) fn visible(site: &Site, request: &Request, from: IpAddr) -> Visible {
    let all_key = site.cameras.all_key();
    let all = site.gate.admit_to_all(request, from, all_key.as_ref());
    let cameras = site.cameras.all().into_iter();
    let rule = |camera: &Camera| camera.rule().newest().unwrap_or_default();
    match all {
        Some(Ok(pass)) => Visible {
            cameras: cameras
                .map(|camera| {
                    let token = token_for(camera.name(), &rule(&camera), &pass, pass.expiry());
                    (camera, token)
                })
                .collect(),
            pass,
            notice: None,
        },
        refused => {
            let why_not = refused
                .and_then(Result::err)
                .map_or(pages::NOT_ALL.to_owned(), |denial| denial.to_string());
            // Where there is no camera at all, the page says what to do.
            let notice = (cameras.len() > 0).then_some(why_not);
            Visible {
                cameras: cameras
                    .filter(|camera| rule(camera).mode == Mode::Public)
                    .map(|camera| (camera, None))
                    .collect(),
                pass: Pass::Public,
                notice,
            }
        }
    }
}

/// What the paths on the page of a camera carry. An owner's own token is not
/// in them, since a picture's address may be passed on without a thought.
pub(super) fn page_token(name: &CameraName, rule: &Rule, pass: &Pass) -> Option<Token> {
    match pass {
        Pass::Owner(_) => token_for(name, rule, pass, pass.expiry()),
        _ => pass.token().cloned(),
    }
}

/// A token for one camera that is worth no more than what its holder has: a
/// page's address may be passed on without a thought.
fn token_for(name: &CameraName, rule: &Rule, pass: &Pass, expiry: Option<Expiry>) -> Option<Token> {
    let key = (rule.mode != Mode::Public).then(|| rule.key_behind(pass))??;
    Some(key.sign(Scope::Camera(name), expiry?))
}

/// The answer to whoever may not see the camera `name`, on the path `what`.
pub(super) fn denied(denial: Denial, rule: &Rule, name: &CameraName, what: &str) -> Response {
    let status = match denial {
        Denial::TooManyAttempts(_) => StatusCode::TooManyRequests,
        Denial::Busy => StatusCode::ServiceUnavailable,
        Denial::OwnerOnly => StatusCode::Forbidden,
        _ if rule.mode == Mode::Password => StatusCode::Unauthorized,
        _ => StatusCode::Forbidden,
    };
    let words = denial.to_string();
    let mut response = match what {
        "" => html(status, pages::notice("Not open", &words)),
        _ => text(status, &words),
    };
    if status == StatusCode::Unauthorized {
        // RFC 7617; the name is quoted as it is, since it has no quotes.
        let challenge = format!("Basic realm=\"camera {name}\", charset=\"UTF-8\"");
        response.insert_header("WWW-Authenticate", challenge);
    }
    if let Some(wait) = denial.retry_after() {
        response.insert_header("Retry-After", wait.as_secs().max(1).to_string());
    }
    response
}

/// A page that was seen by a link, with the link in a cookie, so that it can be
/// left and come back to. The cookie goes nowhere but to the camera's paths, or
/// with a link to all cameras, to this host.
pub(super) fn remembering(mut page: Response, pass: &Pass, name: Option<&CameraName>) -> Response {
    let (link, cookie, path) = match (pass, name) {
        (Pass::Link(link) | Pass::Owner(link), Some(name)) => {
            (link, CAMERA_COOKIE, format!("/{name}"))
        }
        (Pass::AllLink(link), _) => (link, ALL_COOKIE, "/".to_owned()),
        _ => return page,
    };
    let left = link.token.expiry().left().unwrap_or_default().as_secs();
    let token = &link.token;
    page.insert_header(
        "Set-Cookie",
        format!("{cookie}={token}; Path={path}; Max-Age={left}; Secure; HttpOnly; SameSite=Lax"),
    );
    page
}

/// `/NAME/link.json`.
#[derive(Serialize)]
struct SharedLink {
    /// The page's path and query. Where this relay is, its pages know.
    path: String,
    /// When the link ends, in seconds since 1970; `null` if it does not.
    expires: Option<u64>,
}

/// A link to the camera's page for somebody else, from somebody who may see it.
/// It ends no later than that.
pub(super) fn share(camera: &Camera, rule: &Rule, pass: &Pass, request: &Request) -> Response {
    let hours = match request.query("hours") {
        None => Some(HOURS),
        Some(hours) => hours.parse().ok(),
    };
    let Some(hours) = hours.filter(|hours| (1..=MAX_HOURS).contains(hours)) else {
        let words = format!("hours is a number from 1 to {MAX_HOURS}.");
        return text(StatusCode::BadRequest, &words);
    };
    let name = camera.name();
    let asked = Expiry::after(Duration::from_secs(u64::from(hours) * 3600));
    let expiry = pass.expiry().map_or(asked, |own| own.min(asked));
    let link = match token_for(name, rule, pass, Some(expiry)) {
        Some(token) => SharedLink {
            path: format!("/{name}?{TOKEN_KEY}={token}"),
            expires: Some(expiry.as_secs()),
        },
        None if rule.mode == Mode::Public => SharedLink {
            path: format!("/{name}"),
            expires: None,
        },
        None => {
            let words = format!(
                "There is no key to sign links with yet: run `pinhole-relay camera link {name}` on the relay's machine."
            );
            return text(StatusCode::Conflict, &words);
        }
    };
    // Strings, numbers and null alone: nothing in it can fail.
    let json = serde_json::to_string(&link).unwrap_or_default() + "\n";
    fresh(StatusCode::Ok, "application/json", json)
}
