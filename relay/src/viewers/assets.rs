//! What the pages are made of. All of it is here, so that they load nothing
//! from elsewhere.

/// A file of the pages.
pub(super) struct Asset {
    path: &'static str,
    /// The value of `Content-Type`.
    pub(super) content_type: &'static str,
    /// All of it.
    pub(super) content: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// All of them. No camera's name has a `_`.
const ASSETS: [Asset; 10] = [
    asset(
        "/_assets/pinhole.css",
        CSS,
        include_str!("assets/pinhole.css"),
    ),
    asset(
        "/_assets/camera.js",
        JAVASCRIPT,
        include_str!("assets/camera.js"),
    ),
    asset(
        "/_assets/list.js",
        JAVASCRIPT,
        include_str!("assets/list.js"),
    ),
    asset(
        "/_assets/stream.js",
        JAVASCRIPT,
        include_str!("assets/stream.js"),
    ),
    asset(
        "/_assets/picture.js",
        JAVASCRIPT,
        include_str!("assets/picture.js"),
    ),
    asset(
        "/_assets/status.js",
        JAVASCRIPT,
        include_str!("assets/status.js"),
    ),
    asset(
        "/_assets/settings.js",
        JAVASCRIPT,
        include_str!("assets/settings.js"),
    ),
    asset(
        "/_assets/visibility.js",
        JAVASCRIPT,
        include_str!("assets/visibility.js"),
    ),
    asset("/_assets/icon.svg", SVG, include_str!("assets/icon.svg")),
    asset(
        "/_assets/no-picture.svg",
        SVG,
        include_str!("assets/no-picture.svg"),
    ),
];

const fn asset(path: &'static str, content_type: &'static str, content: &'static str) -> Asset {
    Asset {
        path,
        content_type,
        content,
    }
}

/// The file at `path`, if there is one.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths in `text` that follow `before`, up to a quote.
    fn named<'text>(text: &'text str, before: &str) -> Vec<&'text str> {
        let after = text.split(before).skip(1);
        after
            .filter_map(|rest| rest.split(['"', '\'']).next())
            .collect()
    }

    #[test]
    fn all_that_is_named_is_there() {
        let pages = [
            include_str!("assets/camera.html"),
            include_str!("assets/list.html"),
            include_str!("assets/notice.html"),
            include_str!("assets/settings.html"),
        ];
        let mut count = 0;
        for path in pages.iter().flat_map(|page| named(page, "\"/_assets/")) {
            assert!(find(&format!("/_assets/{path}")).is_some(), "{path}");
            count += 1;
        }
        for path in ASSETS
            .iter()
            .flat_map(|asset| named(asset.content, "from './"))
        {
            assert!(find(&format!("/_assets/{path}")).is_some(), "{path}");
            count += 1;
        }
        assert!(count > 15, "{count}");
        assert!(find("/_assets/missing.js").is_none());
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in &ASSETS {
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("//www"), "{}", asset.path);
            assert!(!content.contains("://"), "{}", asset.path);
        }
    }
}
