//! The relay's pages for those who like them dark, use the keyboard or hear them read.

use serde_json::{Value, json};

use crate::{camera::GREEN, chromium::Chromium, eventually, site::Site};

/// The least contrast of text with what is behind it (WCAG 2.2, 1.4.3).
const CONTRAST: f64 = 4.5;

/// What text on the page stands out least, by WCAG's contrast, and how bright the page is,
/// from 0 to 1.
const LEAST_CONTRAST: &str = r"(() => {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const brightness = (colour) => {
        const [red, green, blue] = channels(colour).map((channel) => {
            const part = channel / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        const isOpaque = (channels(colour)[3] ?? 1) === 1;
        return isOpaque ? colour : behind(element.parentElement);
    };
    const texts = [...document.body.querySelectorAll('*')].filter((element) =>
        element.checkVisibility() &&
        [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    const contrasts = texts.map((element) => {
        const pair = [getComputedStyle(element).color, behind(element)].map(brightness);
        const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        return { contrast, text: element.textContent };
    });
    contrasts.sort((one, other) => one.contrast - other.contrast);
    return { texts: texts.length, least: contrasts[0], brightness: brightness(behind(document.body)) };
})()";

/// Roles of what is used or looked at, and therefore needs a name.
const NAMED: [&str; 8] = [
    "button",
    "checkbox",
    "combobox",
    "image",
    "link",
    "navigation",
    "slider",
    "textbox",
];

/// Opens the page at `path`, and waits until the camera's pictures are on it.
fn open(chromium: &mut Chromium, site: &Site, path: &str) {
    chromium.open(&site.url(path));
    let is_live = format!(
        "location.pathname === '{path}' && \
         document.querySelector('[data-state=streaming] canvas:not([hidden])') !== null"
    );
    eventually("the pictures", || chromium.evaluate(&is_live) == true);
}

#[test]
#[ignore = "needs the relay's binary and Chromium: run scripts/test"]
fn pages_are_light_or_dark_as_the_browser_asks_and_legible_in_both() {
    let site = Site::start("light-and-dark", GREEN);
    let mut chromium = Chromium::start(&site.directory);
    for path in ["/", "/yard"] {
        open(&mut chromium, &site, path);
        let mut look = |scheme: &str| {
            let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
            chromium.call(
                "Emulation.setEmulatedMedia",
                json!({ "features": [feature] }),
            );
            let look = chromium.evaluate(LEAST_CONTRAST);
            println!("{path}, {scheme}: {look}");
            assert!(
                look["least"]["contrast"].as_f64() >= Some(CONTRAST),
                "{path}: {look}"
            );
            look["brightness"].as_f64().unwrap()
        };
        assert!(look("light") > 0.5, "{path}");
        assert!(look("dark") < 0.1, "{path}");
    }
}

#[test]
#[ignore = "needs the relay's binary and Chromium: run scripts/test"]
fn the_keyboard_alone_shows_a_camera_on_the_full_screen() {
    let site = Site::start("keyboard", GREEN);
    let mut chromium = Chromium::start(&site.directory);
    open(&mut chromium, &site, "/yard");
    let is_there = "document.activeElement.id === 'full-screen'";
    let mut presses = 0;
    while chromium.evaluate(is_there) != true {
        chromium.press("Tab", 9, "");
        presses += 1;
        assert!(presses < 20, "no way to the button");
    }
    assert_eq!(
        chromium.evaluate("document.activeElement.matches(':focus-visible')"),
        true
    );
    let is_full = "document.fullscreenElement?.id === 'figure' && \
        document.activeElement.getAttribute('aria-pressed') === 'true'";
    chromium.press("Enter", 13, "\r");
    eventually("the full screen", || chromium.evaluate(is_full) == true);
    chromium.press(" ", 32, " ");
    let is_back = "document.fullscreenElement === null && \
        document.activeElement.getAttribute('aria-pressed') === 'false'";
    eventually("the page again", || chromium.evaluate(is_back) == true);
}

#[test]
#[ignore = "needs the relay's binary and Chromium: run scripts/test"]
fn all_that_is_used_or_looked_at_has_a_name() {
    let site = Site::start("names", GREEN);
    let mut chromium = Chromium::start(&site.directory);
    chromium.call("Accessibility.enable", json!({}));
    for (path, wanted) in [
        (
            "/",
            &[
                ("heading", "Cameras"),
                ("button", "Watch live"),
                ("heading", "yard"),
                ("link", "yard"),
            ][..],
        ),
        (
            "/yard",
            &[
                ("navigation", "Site"),
                ("link", "All cameras"),
                ("heading", "yard"),
                ("image", "Live picture of the camera yard"),
                ("button", "Full screen"),
                ("link", "Snapshot"),
                ("button", "Share"),
            ],
        ),
    ] {
        open(&mut chromium, &site, path);
        let tree = chromium.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let text = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or("").to_owned();
        let heard: Vec<_> = nodes
            .filter(|node| node["ignored"] == false)
            .map(|node| (text(node, "role"), text(node, "name")))
            .collect();
        for (role, name) in wanted {
            let is_it = |node: &&(String, String)| node.0 == *role && node.1 == *name;
            assert!(
                heard.iter().any(|node| is_it(&node)),
                "{path}: {role} {name:?}: {heard:?}"
            );
        }
        for (role, name) in &heard {
            let needs_one = NAMED.contains(&role.as_str());
            assert!(
                !needs_one || !name.trim().is_empty(),
                "{path}: a nameless {role}: {heard:?}"
            );
        }
    }
}
