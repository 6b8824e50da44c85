//! Who may see which camera: signed links, passwords, and their ends.

use std::{
    io::Write as _,
    process::{Output, Stdio},
};

use crate::{
    eventually,
    program::{RunningRelay, State, free_port, has_mode},
    viewer::{Viewer, curl, curl_until},
};

/// A relay with two cameras: `porch` is opened by links, `shed` is public.
struct Place {
    state: State,
    relay: RunningRelay,
    viewers: u16,
}

impl Place {
    fn new() -> Self {
        let state = State::new();
        let udp_port = free_port();
        add(&state, udp_port, "porch");
        state.enrol("shed", udp_port);
        let mut relay = RunningRelay::start(&state, udp_port);
        let viewers = relay.ready();
        Self {
            state,
            relay,
            viewers,
        }
    }

    /// Status and head and body of what is at `path`.
    fn get(&self, path: &str, arguments: &[&str]) -> String {
        let arguments = [&["--include"], arguments].concat();
        let output = curl(&self.state, self.viewers, path, &arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The status of what is at `path`, which may be a stream.
    fn status(&self, path: &str, arguments: &[&str]) -> u16 {
        let answer = curl_until(&self.state, self.viewers, path, arguments, |answer| {
            answer.contains(&b'\n')
        });
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1);
        status
            .and_then(|status| status.parse().ok())
            .expect(&answer)
    }

    /// The path and query that `pinhole-relay` prints a link with.
    fn link(&self, arguments: &[&str]) -> String {
        let output = self.state.run(arguments);
        path_of(&told(&output))
    }

    /// Runs `pinhole-relay` with a password on its standard input.
    fn with_password(&self, arguments: &[&str], password: &str) -> Output {
        let mut command = self.state.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(password.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }
}

fn add(state: &State, udp_port: u16, name: &str) -> String {
    let endpoint = format!("127.0.0.1:{udp_port}");
    told(&state.run(&["camera", "add", name, "--endpoint", &endpoint]))
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What follows the host in the URL that `text` contains.
fn path_of(text: &str) -> String {
    let (_, url) = text.split_once("https://127.0.0.1").expect(text);
    url.lines().next().unwrap().to_owned()
}

const PATHS: [&str; 5] = ["", "/stream", "/snapshot.jpg", "/status.json", "/box.json"];

#[test]
fn a_new_camera_is_opened_by_its_link_alone() {
    let state = State::new();
    let udp_port = free_port();
    let link = path_of(&add(&state, udp_port, "porch"));
    assert!(link.starts_with("/porch?token="), "{link}");
    assert!(has_mode(&state.path().join("registry.toml"), 0o600));
    let mut relay = RunningRelay::start(&state, udp_port);
    let viewers = relay.ready();
    let place = Place {
        state,
        relay,
        viewers,
    };
    let (page, query) = link.split_once('?').unwrap();
    for path in PATHS {
        let refused = place.get(&format!("{page}{path}"), &[]);
        assert!(refused.starts_with("HTTP/1.1 403 "), "{path}: {refused}");
        // A camera that does not exist gets the same answer, but for its date.
        let without_date = |answer: &str| {
            let lines = answer.lines().filter(|line| !line.starts_with("date:"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let unknown = place.get(&format!("/attic{path}"), &[]);
        assert_eq!(without_date(&unknown), without_date(&refused), "{path}");
        let unknown = place.get(&format!("/attic{path}?{query}"), &[]);
        let wrong = place.get(&format!("{page}{path}?token=x"), &[]);
        assert_eq!(without_date(&unknown), without_date(&wrong), "{path}");
        assert!(unknown.contains("This link is not valid"), "{unknown}");
    }
    let page = place.get(&link, &[]);
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("referrer-policy: no-referrer"), "{page}");
    // The page hands its token on.
    assert!(page.contains(&format!("/porch/stream?{query}\"")), "{page}");
    assert!(
        page.contains(&format!("/porch/snapshot.jpg?{query}")),
        "{page}"
    );
    assert_eq!(
        place.status(&format!("/porch/status.json?x=1&{query}"), &[]),
        200
    );
    assert_eq!(place.status(&format!("/porch/stream?{query}"), &[]), 200);
    // Elsewhere it opens nothing, and no other list.
    let list = place.get(&format!("/?{query}"), &[]);
    assert!(!list.contains("porch"), "{list}");
}

#[test]
fn a_page_remembers_its_link_in_a_cookie() {
    let place = Place::new();
    let link = place.link(&["camera", "link", "porch", "--valid", "2h"]);
    let page = place.get(&link, &[]);
    let cookie = page
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let (pair, attributes) = cookie.expect(&page).split_once("; ").unwrap();
    assert!(
        attributes.starts_with("Path=/porch; Max-Age=7"),
        "{attributes}"
    );
    assert!(
        attributes.ends_with("; Secure; HttpOnly; SameSite=Lax"),
        "{attributes}"
    );
    let cookie = ["--cookie", pair];
    assert_eq!(place.status("/porch/status.json", &cookie), 200);
    assert_eq!(
        place.status("/porch", &["--cookie", "__Secure-pinhole=x"]),
        403
    );
}

#[test]
fn a_link_ends_with_its_time_and_so_does_what_it_opened() {
    let place = Place::new();
    // A machine that is busy may be late for the shortest.
    let mut lives = ["3s", "10s", "40s"].iter();
    let (link, stream) = lives
        .find_map(|valid| {
            let link = place.link(&["camera", "link", "porch", "--valid", valid]);
            let stream = link.replace("porch?", "porch/stream?");
            let stream = Viewer::open(&place.state, place.viewers, &stream, &[]);
            let status = link.replace("porch?", "porch/status.json?");
            let mut is_open = false;
            eventually("it opens its stream or has ended", || {
                let answer = place.get(&status, &[]);
                is_open = answer.contains("\"viewers\":1");
                is_open || answer.starts_with("HTTP/1.1 403 ")
            });
            is_open.then_some((link, stream))
        })
        .expect("no link opens its stream");
    assert!(stream.ended_properly());
    let refused = place.get(&link, &[]);
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("This link has expired"), "{refused}");
    for (valid, said) in [("x", "give a time"), ("20y", "ten years at most")] {
        let output = place
            .state
            .run(&["camera", "link", "porch", "--valid", valid]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_is_void_ends_its_streams_and_no_others() {
    let place = Place::new();
    let stream = |path: &str| Viewer::open(&place.state, place.viewers, path, &[]);
    let link = place
        .link(&["camera", "link", "porch"])
        .replace("porch?", "porch/stream?");
    let by_link = stream(&link);
    let public = stream("/shed/stream");
    let is_watched = |link: &str| {
        let status = place.get(&link.replace("stream", "status.json"), &[]);
        status.contains("\"viewers\":1")
    };
    eventually("both streams are open", || {
        is_watched(&link) && is_watched("/shed/stream")
    });
    let new_link = place
        .link(&["camera", "link", "porch", "--rotate"])
        .replace("porch?", "porch/stream?");
    assert!(by_link.ended_properly());
    assert_eq!(place.status(&link, &[]), 403);
    assert_eq!(place.status(&new_link, &[]), 200);
    eventually("that stream has ended", || !is_watched(&new_link));
    let by_new_link = stream(&new_link);
    eventually("another one is open", || is_watched(&new_link));
    told(&place.state.run(&["camera", "access", "shed", "link"]));
    assert!(public.ended_properly());
    assert_eq!(place.status("/shed", &[]), 403);
    // Public again: whoever was let in stays, and the old link is no hindrance.
    told(&place.state.run(&["camera", "access", "porch", "public"]));
    eventually("the change is taken in", || {
        place.status("/porch", &[]) == 200
    });
    assert_eq!(place.status(&link, &[]), 200);
    told(&place.state.run(&["camera", "access", "porch", "link"]));
    assert!(by_new_link.ended_properly());
    // None of that took the cameras away from their boxes.
    assert!(!place.relay.log().contains("removed"));
}

#[test]
fn a_password_opens_its_camera() {
    let mut place = Place::new();
    let set = ["camera", "access", "porch", "password"];
    told(&place.with_password(&set, "open sesame\n"));
    let (right, wrong) = (["--user", "me:open sesame"], ["--user", "me:OPEN SESAME"]);
    eventually("it is taken in", || place.status("/porch", &right) == 200);
    for path in PATHS {
        let refused = place.get(&format!("/porch{path}"), &[]);
        assert!(refused.starts_with("HTTP/1.1 401 "), "{path}: {refused}");
        let challenge = "www-authenticate: Basic realm=\"camera porch\", charset=\"UTF-8\"";
        assert!(refused.contains(challenge), "{path}: {refused}");
    }
    let page = place.get("/porch", &right);
    assert!(!page.contains("token="), "{page}");
    assert_eq!(
        place.status("/porch/status.json", &["--user", ":open sesame"]),
        200
    );
    assert_eq!(place.status("/porch", &wrong), 401);
    let line = place.relay.wait_for("was refused at porch");
    assert!(
        line.contains("access: 127.0.0.1 was refused at porch: the password is wrong"),
        "{line}"
    );
    // Someone who knows it can let another one in.
    let shared = place.get("/porch/link.json?hours=1", &right);
    let (_, path) = shared.split_once("{\"path\":\"").expect(&shared);
    let (path, _) = path.split_once('"').unwrap();
    assert_eq!(place.status(path, &[]), 200);
    // A new password ends all of that.
    let stream = Viewer::open(&place.state, place.viewers, "/porch/stream", &right);
    eventually("the stream is open", || {
        place
            .get("/porch/status.json", &right)
            .contains("\"viewers\":1")
    });
    told(&place.with_password(&set, "another one\r\n"));
    assert!(stream.ended_properly());
    assert_eq!(place.status("/porch", &right), 401);
    assert_eq!(place.status(path, &[]), 401);
    assert_eq!(place.status("/porch", &["--user", "me:another one"]), 200);
    for (password, said) in [
        ("short\n", "too short"),
        ("", "too short"),
        ("a\tb\tc\td\te\n", "control character"),
    ] {
        let output = place.with_password(&set, password);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{error}");
    }
    let registry = place.state.read("registry.toml");
    assert!(
        registry.contains("password = \"$argon2id$v=19$"),
        "{registry}"
    );
    assert!(!registry.contains("another one"), "{registry}");
}

#[test]
fn guesses_are_limited_and_a_right_password_gets_through() {
    let mut place = Place::new();
    told(&place.with_password(&["camera", "access", "porch", "password"], "open sesame"));
    let right = ["--user", "me:open sesame"];
    eventually("it is taken in", || place.status("/porch", &right) == 200);
    let guesses: Vec<_> = (0..12)
        .map(|number| place.get("/porch", &["--user", &format!("me:guess {number}")]))
        .collect();
    assert!(
        guesses[..10]
            .iter()
            .all(|answer| answer.starts_with("HTTP/1.1 401 "))
    );
    for answer in &guesses[10..] {
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\nretry-after: "), "{answer}");
    }
    // Its owner was here before.
    assert_eq!(place.status("/porch/status.json", &right), 200);
    // Another address has its own allowance.
    place
        .relay
        .wait_for("was refused at porch: the password is wrong");
    let answer = place.get("/porch", &["--user", "me:a guess"]);
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
}

#[test]
fn a_link_to_all_opens_the_list_and_every_camera() {
    let place = Place::new();
    let list = place.get("/", &[]);
    assert!(
        list.contains("href=\"/shed\"") && !list.contains("porch"),
        "{list}"
    );
    assert!(list.contains("pinhole-relay link --all"), "{list}");
    let link = place.link(&["link", "--all"]);
    eventually("it is taken in", || {
        place.get(&link, &[]).contains(">porch</a>")
    });
    let list = place.get(&link, &[]);
    assert!(list.contains("set-cookie: __Host-pinhole="), "{list}");
    assert!(list.contains("; Path=/; Max-Age="), "{list}");
    // What it links to is worth that camera and no more.
    let (_, porch) = list.split_once("href=\"/porch?").expect(&list);
    let (porch, _) = porch.split_once('"').unwrap();
    assert_eq!(place.status(&format!("/porch?{porch}"), &[]), 200);
    assert!(!place.get(&format!("/?{porch}"), &[]).contains("porch"));
    let (_, all) = link.split_once('?').unwrap();
    assert_eq!(place.status(&format!("/porch/status.json?{all}"), &[]), 200);
    // Whoever may see all may know which there are.
    assert_eq!(place.status(&format!("/attic?{all}"), &[]), 404);
    told(&place.with_password(&["camera", "access", "porch", "password"], "open sesame"));
    eventually("it is taken in", || {
        place.status(&format!("/porch?{porch}"), &[]) == 401
    });
    assert_eq!(place.status(&format!("/porch?{all}"), &[]), 200);
    let new_link = place.link(&["link", "--all", "--rotate"]);
    // The cameras' own rules are taken in a moment before.
    eventually("it is taken in", || {
        place.get(&link, &[]).contains("This link is not valid")
    });
    assert_eq!(place.status(&format!("/porch?{all}"), &[]), 401);
    let list = place.get(&new_link, &[]);
    assert!(list.contains(">porch</a>"));
    // With a link to all, the links that were had from its list are void too.
    let (_, porch) = list.split_once("href=\"/porch?").expect(&list);
    let (porch, _) = porch.split_once('"').unwrap();
    let porch = format!("/porch?{porch}");
    assert_eq!(place.status(&porch, &[]), 200);
    place.link(&["link", "--all", "--rotate"]);
    eventually("it is taken in", || place.status(&porch, &[]) == 401);
}

#[test]
fn a_shared_link_lasts_no_longer_than_ones_own() {
    let place = Place::new();
    let link = place.link(&["camera", "link", "porch", "--valid", "2h"]);
    let link = link.replace("porch?", "porch/link.json?");
    let expires = |hours: &str| {
        let answer = place.get(&format!("{link}{hours}"), &[]);
        let (_, json) = answer.split_once("\r\n\r\n").expect(&answer);
        let json: serde_json::Value = serde_json::from_str(json).expect(&answer);
        let path = json["path"].as_str().unwrap();
        assert_eq!(place.status(path, &[]), 200);
        json["expires"].as_u64().unwrap()
    };
    let (one, most) = (expires("&hours=1"), expires(""));
    assert!(expires("&hours=8000") == most && one < most);
    for bad in ["0", "x", "-1", "99999999999"] {
        assert_eq!(place.status(&format!("{link}&hours={bad}"), &[]), 400);
    }
    assert_eq!(place.status("/porch/link.json", &[]), 403);
    let public = place.get("/shed/link.json", &[]);
    assert!(
        public.ends_with("{\"path\":\"/shed\",\"expires\":null}\n"),
        "{public}"
    );
}

#[test]
fn where_viewers_reach_the_relay_is_remembered() {
    let place = Place::new();
    let print = |arguments: &[&str]| told(&place.state.run(arguments));
    let origin = ["--origin", "https://cameras.example:8443"];
    let link = print(&[&["camera", "link", "porch"][..], &origin].concat());
    assert!(
        link.starts_with("https://cameras.example:8443/porch?token="),
        "{link}"
    );
    let link = print(&["link", "--all"]);
    assert!(
        link.starts_with("https://cameras.example:8443/?token="),
        "{link}"
    );
    let link = print(&["camera", "link", "shed"]);
    assert_eq!(link, "https://cameras.example:8443/shed\n");
    let error = place.state.fails(&["camera", "link", "attic"]);
    assert!(error.contains("there is no camera attic"), "{error}");
}

#[test]
fn nothing_secret_is_ever_logged() {
    let state = State::new();
    let udp_port = free_port();
    let link = path_of(&add(&state, udp_port, "porch"));
    let arguments = ["--verbose", "--self-signed", "--listen", "127.0.0.1:0"];
    let mut relay = RunningRelay::start_with(&state, udp_port, &arguments);
    let viewers = relay.ready();
    let (_, token) = link.split_once("token=").unwrap();
    let secrets = [
        token,
        "AGtJ0gCbgzUM_CGrZA6pHsAJavbc",
        "b3BlbiBzZXNhbWU",
        "open sesame",
    ];
    for path in ["/porch", "/porch/stream", "/porch/nothing", "/", "/attic"] {
        for secret in &secrets[..2] {
            let cookie = format!("__Secure-pinhole={secret}");
            let path = format!("{path}?token={secret}");
            curl(
                &state,
                viewers,
                &path,
                &["--max-time", "1", "--cookie", &cookie],
            );
        }
        curl(
            &state,
            viewers,
            path,
            &["--user", "me:open sesame", "--max-time", "1"],
        );
    }
    // Not even where the request is no good.
    let bad = ["--header", "Content-Length: 1, 2"];
    curl(&state, viewers, &format!("/porch?token={token}"), &bad);
    let log = relay.log();
    assert!(
        log.contains("was refused at porch: the link is not valid"),
        "{log}"
    );
    assert!(log.contains("DEBUG"), "{log}");
    let registry = state.read("registry.toml");
    let (_, key) = registry.split_once("link_key = \"").unwrap();
    let (key, _) = key.split_once('"').unwrap();
    for secret in secrets.iter().chain([&key]) {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
