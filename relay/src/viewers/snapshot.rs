//! One picture of the present: at most a second old, or the next one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinhole_link::{
    Frame, Timestamp,
    http::{Request, Response, StatusCode},
};
use smol::{Timer, future::FutureExt as _};

use crate::camera::{Arrival, Camera};

/// The age up to which a picture counts as the present, unless the request says
/// otherwise. It is counted from the picture's capture, or while the box's clock
/// is not known, which may be wrong, from its arrival.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The longest age that can be asked for, in seconds. Pictures are not kept
/// that long.
const LONGEST_AGE: f64 = 3600.0;

/// How long to wait for a picture.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest picture if it is fresh enough for `request`, else the next one,
/// as old as that is: there is none fresher. `None` if none comes. Whoever waits
/// is a viewer: the camera's stream is pulled.
pub(super) async fn take(camera: &Camera, request: &Request) -> Option<Frame> {
    let max_age = max_age(request);
    let asked = Instant::now();
    let mut frames = camera.frames().reader();
    let next = async {
        loop {
            let frame = frames.next().await.value;
            // The slot may have held an old one.
            let newest = camera.health().newest;
            // One that has come since is the next in the slot.
            let newest = newest.filter(|newest| newest.sequence == frame.sequence());
            let is_fresh =
                |arrival: Arrival| arrival.at >= asked || age(camera, arrival) <= max_age;
            if newest.is_some_and(is_fresh) {
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

/// How old a picture is.
fn age(camera: &Camera, arrival: Arrival) -> Duration {
    let since_arrival = arrival.at.elapsed();
    if camera.age_uncertainty().is_none() {
        return since_arrival;
    }
    let since_capture = SystemTime::now().duration_since(arrival.captured);
    since_capture.unwrap_or_default().max(since_arrival)
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
    use smol::future::poll_once;

    use super::*;
    use crate::{box_clock::Reading, camera::Pull};

    #[test]
    fn a_picture_that_took_long_to_come_is_none_of_the_present() {
        let (camera, _removal) = Camera::of_test();
        camera.set_pull(Pull::Streaming);
        let publish = |sequence| {
            let captured = SystemTime::now() - Duration::from_secs(5);
            camera.publish(Frame::new(vec![0], captured, sequence));
        };
        let taken = |target: &str| {
            let request = request(target, "");
            let frame = smol::block_on(poll_once(take(&camera, &request)));
            frame.flatten().map(|frame| frame.sequence())
        };
        publish(1);
        // The box's clock may be wrong.
        assert_eq!(taken("/c/snapshot.jpg"), Some(1));
        let time = SystemTime::now();
        camera.box_clock().heard(Reading {
            asked: time,
            shown: time,
            round_trip: Duration::from_millis(5),
            at: Instant::now(),
        });
        assert_eq!(taken("/c/snapshot.jpg"), None);
        assert_eq!(taken("/c/snapshot.jpg?max_age=60"), Some(1));
        let request = request("/c/snapshot.jpg", "");
        let mut waiting = Box::pin(take(&camera, &request));
        assert!(smol::block_on(poll_once(&mut waiting)).is_none());
        publish(2);
        let next = smol::block_on(waiting);
        assert_eq!(next.map(|frame| frame.sequence()), Some(2));
    }

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
