//! One picture, at most a second old.

use std::time::{Duration, Instant, UNIX_EPOCH};

use pinhole_link::{
    Frame, Timestamp,
    http::{Request, Response, StatusCode},
};
use smol::{Timer, future::FutureExt as _};

use crate::camera::Camera;

/// The age up to which a picture counts as the present, unless the request says
/// otherwise. It is counted from the picture's arrival, since the box's clock
/// may be wrong.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The longest age that can be asked for, in seconds. Pictures are not kept
/// that long.
const LONGEST_AGE: f64 = 3600.0;

/// How long to wait for a picture.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest picture if it is fresh enough for `request`, else the next one;
/// `None` if none comes. Whoever waits is a viewer: the camera's stream is
/// pulled.
pub(super) async fn take(camera: &Camera, request: &Request) -> Option<Frame> {
    let max_age = max_age(request);
    let asked = Instant::now();
    let mut frames = camera.frames().reader();
    let next = async {
        loop {
            let frame = frames.next().await.value;
            // The slot may have held an old one.
            let newest = camera.health().newest;
            let is_fresh = |at: Instant| at >= asked || at.elapsed() <= max_age;
            if newest.is_some_and(|arrival| is_fresh(arrival.at)) {
                return Some(frame);
            }
        }
    };
    let none = async {
        Timer::after(PATIENCE).await;
        None
    };
    next.or(none).await
}

/// `max_age`, in seconds.
fn max_age(request: &Request) -> Duration {
    let asked = request.query("max_age").and_then(|age| age.parse().ok());
    let makes_sense = |age: &f64| (0.0..=LONGEST_AGE).contains(age);
    asked
        .filter(makes_sense)
        .map_or(MAX_AGE, Duration::from_secs_f64)
}

/// Tells the picture's time and its tag, and says 304 to a client that has this
/// very picture (RFC 9110 section 13.1.2).
pub(super) fn tag(response: &mut Response, frame: &Frame, request: &Request) {
    let since_1970 = frame.captured().duration_since(UNIX_EPOCH);
    let captured = since_1970.unwrap_or_default().as_micros();
    let tag = format!("\"{captured:x}-{:x}\"", frame.sequence());
    let has_it = request.fields("If-None-Match").any(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    });
    response.insert_header("ETag", tag);
    response.insert_header("X-Timestamp", Timestamp(frame.captured()).to_string());
    if has_it {
        response.set_status(StatusCode::NotModified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &str) -> Request {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        smol::block_on(Request::parse(head.as_bytes())).unwrap()
    }

    #[test]
    fn an_age_is_seconds() {
        for (query, seconds) in [
            ("", 1.0),
            ("?max_age=0", 0.0),
            ("?max_age=2.5", 2.5),
            ("?max_age=-1", 1.0),
            ("?max_age=NaN", 1.0),
            ("?max_age=1e300", 1.0),
        ] {
            let max_age = max_age(&request(&format!("/c/snapshot.jpg{query}"), ""));
            assert_eq!(max_age.as_secs_f64(), seconds, "{query}");
        }
    }

    #[test]
    fn who_has_the_picture_gets_304() {
        let captured = UNIX_EPOCH + Duration::from_micros(0xABC);
        let frame = Frame::new(vec![0], captured, 0x1F);
        for (field, status) in [
            ("", 200),
            ("If-None-Match: \"abc-1f\"\r\n", 304),
            ("If-None-Match: \"x\", W/\"abc-1f\"\r\n", 304),
            ("If-None-Match: *\r\n", 304),
            ("If-None-Match: \"abc-1e\"\r\n", 200),
        ] {
            let mut response = Response::new(StatusCode::Ok);
            tag(&mut response, &frame, &request("/c/snapshot.jpg", field));
            assert_eq!(response.status() as u16, status, "{field}");
            assert_eq!(response["ETag"], "\"abc-1f\"");
        }
    }
}
