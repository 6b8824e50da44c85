//! `/NAME/controls`: what the camera's owner sees and changes of its webcam; and
//! `/NAME/probe`: which webcams the owner could use, as the box tells it.
//!
//! `GET` is answered with a [`Report`] as JSON, and so is `POST`, with a
//! [`Change`] as its body. Both need an owner's token in the request itself. A
//! change is refused as well where a browser says that another site asks for
//! it, and anything but JSON, which no other site's form can send.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use pinhole_link::{
    CameraName,
    controls::{Change, MAX_CHANGE_LEN, Report, Setting},
    http::{BodyError, Method, Request, Response, StatusCode},
};
use tracing::info;

use super::{
    Site, cors,
    routes::{fresh, text},
};
use crate::{
    access::Allowance,
    camera::Camera,
    controls::{self, ControlsError, exchange},
};

/// Changes of one camera's settings: these at once, as a slider that is moved
/// makes many, then one in each interval.
const CHANGES: (u32, Duration) = (30, Duration::from_millis(100));

/// What may be asked for.
pub(super) const METHODS: &str = "GET, HEAD, OPTIONS, POST";

/// Largest body that is read, in bytes.
pub(super) const MAX_BODY: usize = MAX_CHANGE_LEN;

/// How often a camera's settings may be changed.
pub struct ControlChanges(Allowance<CameraName>);

impl Default for ControlChanges {
    fn default() -> Self {
        Self(Allowance::new(CHANGES.0, CHANGES.1))
    }
}

/// A change that is let in, and whose body is to be read.
pub(super) struct WantedChange {
    pub(super) camera: Arc<Camera>,
    /// Who asks for it.
    pub(super) from: IpAddr,
}

/// What can be set.
pub(super) async fn tell(camera: &Camera, site: &Site) -> Response {
    answer(exchange(&site.cameras, camera, None).await)
}

/// Which webcams the box has and what they can, as text.
pub(super) async fn probe(camera: &Camera, site: &Site) -> Response {
    match controls::probe(&site.cameras, camera).await {
        Ok(told) => fresh(StatusCode::Ok, "text/plain; charset=utf-8", told),
        Err(error) => refused(&error),
    }
}

/// The answer to a `POST` whose body is not worth reading.
pub(super) fn refusal(camera: &Camera, site: &Site, request: &Request) -> Option<Response> {
    if !cors::is_same_origin(request) {
        let words = "Settings are changed from the relay's own page, not from another site's.";
        return Some(text(StatusCode::Forbidden, words));
    }
    if !is_json(request) {
        let words = "A change is JSON, with Content-Type: application/json.";
        return Some(text(StatusCode::UnsupportedMediaType, words));
    }
    let changes = &site.control_changes.0;
    changes.take(camera.name(), Instant::now()).err()?;
    let words = "Too many changes at once. Try again in a second.";
    let mut response = text(StatusCode::TooManyRequests, words);
    response.insert_header("Retry-After", "1");
    Some(response)
}

/// Whether the body says that it is JSON.
fn is_json(request: &Request) -> bool {
    let content_type = request.field("Content-Type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

impl WantedChange {
    /// Makes the change in `body`, and tells who made it.
    pub(super) async fn make(self, body: Result<Vec<u8>, BodyError>, site: &Site) -> Response {
        let body = match body {
            Ok(body) => body,
            Err(error) => return text(error.status(), &format!("{error}.")),
        };
        let change = match Change::from_json(&body) {
            Ok(change) => change,
            Err(error) => return text(StatusCode::BadRequest, &format!("{error}.")),
        };
        let outcome = exchange(&site.cameras, &self.camera, Some(&change)).await;
        if outcome.is_ok() && change != Change::default() {
            info!(
                "camera {}: its owner at {} changed {}",
                self.camera.name(),
                self.from.to_canonical(),
                in_words(&change)
            );
        }
        answer(outcome)
    }
}

fn in_words(change: &Change) -> String {
    let reset = change.reset.then(|| "all to its defaults".to_owned());
    let set = change.set.iter().map(|(name, setting)| match setting {
        Setting::Number(number) => format!("{name} to {number}"),
        Setting::Switch(on) => format!("{name} to {on}"),
        Setting::Word(word) => format!("{name} to {word:?}"),
    });
    let words: Vec<String> = reset.into_iter().chain(set).collect();
    words.join(", ")
}

fn answer(outcome: Result<Report, ControlsError>) -> Response {
    match outcome {
        Ok(report) => {
            // Strings, numbers and null alone: nothing in it can fail.
            let json = serde_json::to_string(&report).unwrap_or_default() + "\n";
            fresh(StatusCode::Ok, "application/json", json)
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &ControlsError) -> Response {
    let status = match error {
        ControlsError::NoBox | ControlsError::Unknown => StatusCode::NotFound,
        _ => StatusCode::ServiceUnavailable,
    };
    text(status, &error.to_string())
}

/// Whether a request is one for controls, by its method and what it is for.
pub(super) fn is_change(request: &Request) -> bool {
    let path = request.path().strip_suffix("/controls");
    request.method() == Method::Post && path.is_some_and(|path| path.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_in_one_line() {
        let change = |json: &str| in_words(&Change::from_json(json.as_bytes()).unwrap());
        assert_eq!(
            change(r#"{"reset": true, "set": {"focus": "auto", "gain": 3, "hflip": true}}"#),
            "all to its defaults, focus to \"auto\", gain to 3, hflip to true"
        );
    }
}
