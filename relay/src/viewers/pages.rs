//! The pages for people. They work without a script, which only keeps them up
//! to date.

use super::{
    admission::Visible,
    camera_state::{state_in_words, state_word},
};
use crate::{
    access::{TOKEN_KEY, Token},
    camera::Camera,
};

/// What stands on it where there is none.
const NO_CAMERA: &str = "<p>No camera is enrolled. To add one, run \
    <code>pinhole-relay camera add NAME</code> on the relay's machine.</p>";

/// What stands under the list where there may be more cameras.
pub(super) const NOT_ALL: &str = "Only cameras that are open to everybody are listed here. \
    The others are opened by links: `pinhole-relay link --all`, on the relay's machine, makes \
    one to all of them.";

/// The page with the cameras that somebody may see.
pub(super) fn list(visible: &Visible) -> String {
    let entries = visible.cameras.iter();
    let entries: String = entries
        .map(|(camera, token)| entry(camera, token.as_ref()))
        .collect();
    let notice = visible.notice.as_ref();
    let notice = notice.map(|words| format!("\n<p class=\"quiet\">{}</p>", prose(words)));
    let entries = match (entries.as_str(), &notice) {
        ("", None) => NO_CAMERA.to_owned(),
        ("", Some(_)) => String::new(),
        _ => format!("<ul class=\"cameras\">\n{entries}</ul>"),
    };
    include_str!("assets/list.html")
        .replace("{{cameras}}", &(entries + &notice.unwrap_or_default()))
}

fn entry(camera: &Camera, token: Option<&Token>) -> String {
    fill(include_str!("assets/tile.html"), camera, token)
}

/// The page with one camera's live picture, which needs `token` to ask for
/// more, and `owner` to change what is set on it.
pub(super) fn camera(camera: &Camera, token: Option<&Token>, owner: Option<&Token>) -> String {
    let settings = match owner {
        Some(owner) => {
            include_str!("assets/settings.html").replace("{{owner}}", &owner.to_string())
        }
        None => String::new(),
    };
    let page = include_str!("assets/camera.html").replace("{{settings}}", &settings);
    fill(&page, camera, token)
}

/// What `template` shows of a camera, whose paths are opened by `token`.
fn fill(template: &str, camera: &Camera, token: Option<&Token>) -> String {
    let health = camera.health();
    let query = token.map_or(String::new(), |token| format!("?{TOKEN_KEY}={token}"));
    template
        .replace("{{query}}", &query)
        .replace("{{name}}", camera.name().as_str())
        .replace("{{state}}", state_word(&health))
        .replace("{{message}}", &escaped(&state_in_words(&health)))
}

/// A page that has words alone.
pub(super) fn notice(title: &str, words: &str) -> String {
    include_str!("assets/notice.html")
        .replace("{{title}}", title)
        .replace("{{message}}", &prose(words))
}

/// Words for people as HTML. What stands between `backticks` is to be typed.
fn prose(words: &str) -> String {
    let mut html = String::new();
    for (number, piece) in escaped(words).split('`').enumerate() {
        match number % 2 {
            0 => html += piece,
            _ => html += &format!("<code>{piece}</code>"),
        }
    }
    html
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

    #[test]
    fn what_is_to_be_typed_looks_so() {
        assert_eq!(
            prose("run `a <b>`, then"),
            "run <code>a &lt;b&gt;</code>, then"
        );
    }
}
