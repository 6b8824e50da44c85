//! What the Debian package says of itself.

#[test]
fn the_changelog_begins_with_this_version() {
    let first = include_str!("../../packaging/changelog").lines().next();
    // cargo-deb's first revision of it.
    let version = concat!("pinhole-relay (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(first.unwrap().starts_with(version), "{first:?}");
}
