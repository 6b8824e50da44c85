//! Which request gets what.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use pinhole_link::{
    CameraName,
    http::{Body, Method, NO_STORE, Request, Response, StatusCode},
};
use smol::{Timer, future::FutureExt as _, io::Cursor};

use super::{
    Site,
    admission::{self, Visible},
    assets::{self, Asset},
    camera_state::state_in_words,
    controls::{self, WantedChange},
    cors, pages,
    query::StreamQuery,
    snapshot,
    status::{Status, Statuses},
    stream::{Full, Wanted},
    wall::Wall,
};
use crate::{box_status::BoxStatus, camera::Camera, places::NoPlace, watchers::PageId};

/// The pages load nothing from elsewhere and run no inline script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; img-src 'self'; \
    style-src 'self'; script-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// How long a box may take to say why there is no picture.
const BOX_PATIENCE: Duration = Duration::from_secs(1);

/// What a request gets.
pub(super) enum Answer {
    /// A response that ends.
    Finite(Response),
    /// The pictures of a camera.
    Stream(Wanted),
    /// The pictures of several cameras.
    Wall(Wall),
    /// A change of a camera's settings, whose body is to be read.
    Change(WantedChange),
}

/// Answers a request that came from `from`, whatever it asks for.
pub(super) async fn answer(site: &Site, request: &Request, from: IpAddr) -> Answer {
    let answer = match request.method() {
        Method::Get | Method::Head => route(site, request, from).await,
        Method::Post if controls::is_change(request) => route(site, request, from).await,
        // What a browser asks before a script may ask. It carries no password.
        Method::Options => {
            let mut response = Response::new(StatusCode::Ok);
            cors::describe(&mut response);
            response.insert_header("Allow", allowed(request));
            Answer::Finite(response)
        }
        _ => {
            let allowed = allowed(request);
            let words = format!("Only {allowed} are answered here.");
            let mut response = text(StatusCode::MethodNotAllowed, &words);
            response.insert_header("Allow", allowed);
            Answer::Finite(response)
        }
    };
    with_fields(answer, cors::fields(&site.allowed_origins, request))
}

/// The methods that a request's path knows.
fn allowed(request: &Request) -> &'static str {
    match request.path().ends_with("/controls") {
        true => controls::METHODS,
        false => cors::METHODS,
    }
}

fn with_fields(answer: Answer, fields: Vec<(&'static str, String)>) -> Answer {
    match answer {
        Answer::Finite(mut response) => {
            for (name, value) in fields {
                response.insert_header(name, value);
            }
            Answer::Finite(response)
        }
        Answer::Stream(mut wanted) => {
            for (name, value) in fields {
                wanted.fields += &format!("{name}: {value}\r\n");
            }
            Answer::Stream(wanted)
        }
        Answer::Wall(mut wall) => {
            for (name, value) in fields {
                wall.fields += &format!("{name}: {value}\r\n");
            }
            Answer::Wall(wall)
        }
        // Other sites change nothing, so they are told nothing.
        Answer::Change(wanted) => Answer::Change(wanted),
    }
}

async fn route(site: &Site, request: &Request, from: IpAddr) -> Answer {
    let path = request.path();
    if path == "/" {
        let visible = admission::visible(site, request, from);
        let page = html(StatusCode::Ok, pages::list(&visible));
        return Answer::Finite(admission::remembering(page, &visible.pass, None));
    }
    if let Some(found) = assets::find(path) {
        return Answer::Finite(asset(found));
    }
    if let Some(what) = path.strip_prefix("/_cameras/") {
        return cameras(site, admission::visible(site, request, from), request, what);
    }
    let (name, what) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let Ok(name) = name.parse::<CameraName>() else {
        return Answer::Finite(not_found("There is no such page here."));
    };
    let camera = site.cameras.get(&name);
    let rule = match &camera {
        Some(camera) => camera.rule().newest().unwrap_or_default(),
        None => Arc::new(site.gate.no_camera(site.cameras.all_key())),
    };
    let pass = match site.gate.admit(request, from, &name, &rule).await {
        Ok(pass) => pass,
        Err(denial) => return Answer::Finite(admission::denied(denial, &rule, &name, what)),
    };
    let Some(camera) = camera else {
        return Answer::Finite(not_found("There is no such camera here."));
    };
    if matches!(what, "controls" | "probe") {
        return match site.gate.admit_owner(request, from, &name, &rule) {
            Ok(()) => owned(site, request, from, camera, what).await,
            Err(denial) => Answer::Finite(admission::denied(denial, &rule, &name, what)),
        };
    }
    let page = request.query("page").and_then(|id| PageId::parse(&id));
    let action = request.query("action").unwrap_or_default();
    Answer::Finite(match (what, action.as_str()) {
        // As mjpg-streamer has it, and with it OctoPrint and Mainsail.
        ("stream", _) | ("", "stream") => {
            return Answer::Stream(Wanted {
                camera,
                pass,
                query: StreamQuery::of(request),
                fields: String::new(),
            });
        }
        ("snapshot.jpg", _) | ("", "snapshot") => snapshot(&camera, site, request).await,
        ("", _) => {
            let token = admission::page_token(&name, &rule, &pass);
            // Another site's script that may read this, and says so, may watch
            // and no more.
            let is_for_a_page = request.field("Origin").is_none();
            let owner = pass.owner_token().filter(|_| is_for_a_page);
            let page = pages::camera(&camera, token.as_ref(), owner);
            let page = html(StatusCode::Ok, page);
            admission::remembering(page, &pass, Some(&name))
        }
        ("status.json", _) => {
            let status = Status::of(&camera, page.as_ref(), site);
            fresh(StatusCode::Ok, "application/json", status.to_json())
        }
        ("box.json", _) => box_status(&camera, site).await,
        ("link.json", _) => admission::share(&camera, &rule, &pass, request),
        _ => not_found(
            "A camera has a page, a stream, a snapshot.jpg, a status.json, a box.json, a link.json, controls and a probe, and nothing else.",
        ),
    })
}

/// What a camera's owner asks for.
async fn owned(
    site: &Site,
    request: &Request,
    from: IpAddr,
    camera: Arc<Camera>,
    what: &str,
) -> Answer {
    if what == "probe" {
        return Answer::Finite(controls::probe(&camera, site).await);
    }
    if request.method() != Method::Post {
        return Answer::Finite(controls::tell(&camera, site).await);
    }
    match controls::refusal(&camera, site, request) {
        None => Answer::Change(WantedChange { camera, from }),
        Some(refusal) => Answer::Finite(refusal),
    }
}

/// What is asked of several cameras at once.
fn cameras(site: &Site, visible: Visible, request: &Request, what: &str) -> Answer {
    Answer::Finite(match what {
        "stream" => match Wall::of(visible, request) {
            Some(wall) => return Answer::Wall(wall),
            None => text(StatusCode::NotFound, "There is no such camera here."),
        },
        "status.json" => {
            let statuses = Statuses::of(&visible, site);
            fresh(StatusCode::Ok, "application/json", statuses.to_json())
        }
        _ => not_found("There is no such page here."),
    })
}

async fn snapshot(camera: &Arc<Camera>, site: &Site, request: &Request) -> Response {
    if let Some(frame) = snapshot::take(camera, request).await {
        let mut response = fresh(StatusCode::Ok, "image/jpeg", frame.jpeg().clone());
        snapshot::tag(&mut response, &frame, request);
        if request.method() == Method::Get && response.status() == StatusCode::Ok {
            camera.counters().sent_frames.add(1);
            camera.counters().sent_bytes.add(frame.jpeg().len() as u64);
        }
        return response;
    }
    let health = camera.health();
    let asked = async { site.cameras.ask_box(camera).await.ok() };
    let too_late = async {
        Timer::after(BOX_PATIENCE).await;
        None
    };
    let said = match health.online {
        true => asked.or(too_late).await,
        false => None,
    };
    let words = match said.as_ref().and_then(BoxStatus::trouble) {
        Some(trouble) => format!("No picture: {trouble}"),
        None => state_in_words(&health),
    };
    let mut response = text(StatusCode::ServiceUnavailable, &words);
    response.insert_header("Retry-After", "2");
    response
}

async fn box_status(camera: &Arc<Camera>, site: &Site) -> Response {
    match site.cameras.ask_box(camera).await {
        Ok(status) => {
            // Strings, numbers and null alone: nothing in it can fail.
            let json = serde_json::to_string(&status).unwrap_or_default() + "\n";
            fresh(StatusCode::Ok, "application/json", json)
        }
        Err(why) => text(StatusCode::ServiceUnavailable, &why.to_string()),
    }
}

/// For a client that has its share of connections, through a proxy.
pub(super) fn too_many_requests(no_place: &NoPlace) -> Response {
    let mut response = text(StatusCode::TooManyRequests, &format!("{no_place}."));
    response.insert_header("Retry-After", "10");
    response
}

/// For whom there is no place left before a camera.
pub(super) fn too_many_viewers(full: &Full) -> Response {
    let Full { camera, limit } = full;
    let words = format!("{limit} others watch camera {camera} now, and no more can.");
    let mut response = text(StatusCode::ServiceUnavailable, &words);
    response.insert_header("Retry-After", "10");
    response
}

fn asset(found: &Asset) -> Response {
    let mut response = fresh(StatusCode::Ok, found.content_type, found.content);
    // Small, and it may change with the relay's next start.
    response.insert_header("Cache-Control", "no-cache");
    response
}

fn not_found(words: &str) -> Response {
    html(StatusCode::NotFound, pages::notice("Not found", words))
}

pub(super) fn html(status: StatusCode, page: String) -> Response {
    fresh(status, "text/html; charset=utf-8", page)
}

pub(super) fn text(status: StatusCode, words: &str) -> Response {
    fresh(status, "text/plain; charset=utf-8", format!("{words}\n"))
}

/// A response that shows the present, with the headers that keep a browser
/// from doing more with it than it should. It shares `body`: a client may take
/// its time, and many may have the same picture.
pub(super) fn fresh(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(status);
    let body = body.into();
    let len = body.len();
    response.set_body(Body::from_reader(Cursor::new(body), Some(len)));
    response.insert_header("Content-Type", content_type);
    response.insert_header("Cache-Control", NO_STORE);
    response.insert_header("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    response.insert_header("X-Content-Type-Options", "nosniff");
    response.insert_header("Referrer-Policy", "no-referrer");
    response
}
