//! The pages for people. They work without a script, which only keeps them up
//! to date.

use std::sync::Arc;

use super::camera_state::{state_in_words, state_word};
use crate::{camera::Camera, watchers::PageId};

/// What stands on it where there is none.
const NO_CAMERA: &str = "<p>No camera is enrolled. To add one, run \
    <code>pinhole-relay camera add NAME</code> on the relay's machine.</p>";

/// The page with all cameras.
pub(super) fn list(cameras: &[Arc<Camera>]) -> String {
    let entries: String = cameras.iter().map(|camera| entry(camera)).collect();
    let entries = match cameras {
        [] => NO_CAMERA.to_owned(),
        _ => format!("<ul class=\"cameras\">\n{entries}</ul>"),
    };
    include_str!("assets/list.html").replace("{{cameras}}", &entries)
}

fn entry(camera: &Camera) -> String {
    let health = camera.health();
    format!(
        "<li data-state=\"{}\"><a href=\"/{name}\">{name}</a> <span>{}</span></li>\n",
        state_word(&health),
        escaped(&state_in_words(&health)),
        name = camera.name(),
    )
}

/// The page with one camera's live picture.
pub(super) fn camera(camera: &Camera) -> String {
    let health = camera.health();
    // Without an ID the page works still, but may not notice a lost stream.
    let page = PageId::draw().map_or(String::new(), |id| format!("?page={}", id.as_str()));
    include_str!("assets/camera.html")
        .replace("{{page}}", &page)
        .replace("{{name}}", camera.name().as_str())
        .replace("{{state}}", state_word(&health))
        .replace("{{message}}", &escaped(&state_in_words(&health)))
}

/// The page for what is not there.
pub(super) fn not_found(words: &str) -> String {
    include_str!("assets/not-found.html").replace("{{message}}", &escaped(words))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
    }
}
