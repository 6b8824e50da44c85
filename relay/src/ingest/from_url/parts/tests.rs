//! Parts as cameras send them, and as none does.

use super::{super::body::Framing, *};

/// Enough of a picture for whoever does not decode it.
fn picture(number: u8) -> Vec<u8> {
    let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    jpeg.extend([1; 64]);
    jpeg.extend([0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0]);
    jpeg.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    jpeg.extend([number; 300]);
    jpeg.extend(END);
    jpeg
}

/// A picture with another one, whole, in an Exif segment.
fn with_thumbnail(number: u8) -> Vec<u8> {
    let thumbnail = picture(0);
    let len = (thumbnail.len() + 2) as u16;
    let exif = [&[0xFF, 0xE1][..], &len.to_be_bytes(), &thumbnail].concat();
    [START, &exif, &picture(number)[2..]].concat()
}

/// All parts of a body that comes in pieces of `piece` bytes, and what
/// ended it, if that is an error.
fn read(body: &[u8], boundary: Option<&str>, piece: usize) -> (Vec<Vec<u8>>, Option<UrlError>) {
    smol::block_on(async {
        let reader = smol::io::BufReader::with_capacity(piece, body);
        let boundary = boundary.map(|boundary| boundary.as_bytes().to_vec());
        let mut parts = Parts::new(Body::new(reader, Framing::Close), boundary);
        let mut read = Vec::new();
        loop {
            match parts.next().await {
                Ok(Some(part)) => read.push(part.bytes),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
        }
    })
}

/// Three pictures, each behind what `before` says and before `after`; in
/// both, `{len}` is a picture's length.
fn body(opening: &str, before: &str, after: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let pictures = vec![picture(1), with_thumbnail(2), picture(3)];
    let mut body = opening.as_bytes().to_vec();
    for picture in &pictures {
        let text = |text: &str| text.replace("{len}", &picture.len().to_string());
        body.extend(text(before).bytes());
        body.extend(picture);
        body.extend(text(after).bytes());
    }
    (body, pictures)
}

#[test]
fn pictures_are_found_whatever_is_around_them() {
    for (what, boundary, opening, before, after) in [
        (
            "pinhole's own",
            Some("b"),
            "--b\r\n",
            "Content-Length: {len}\r\n\r\n",
            "\r\n--b\r\n",
        ),
        (
            "by the book",
            Some("b"),
            "",
            "\r\n--b\r\nContent-Length: {len}\r\n\r\n",
            "",
        ),
        (
            "no length",
            Some("b"),
            "",
            "--b\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "no leading boundary",
            Some("b"),
            "",
            "Content-Type: image/jpeg\r\n\r\n",
            "\r\n--b\r\n",
        ),
        (
            "LF alone",
            Some("b"),
            "",
            "--b\nContent-Length: {len}\n\n",
            "\n",
        ),
        (
            "no dashes",
            Some("b"),
            "",
            "b\r\nContent-Length: {len}\r\n\r\n",
            "\r\n",
        ),
        ("four dashes", Some("b"), "", "----b\r\n\r\n", "\r\n"),
        ("no line break before it", Some("b"), "", "--b\r\n\r\n", ""),
        (
            "a blank line too many",
            Some("b"),
            "",
            "--b\r\nContent-Length: {len}\r\n\r\n\r\n",
            "\r\n",
        ),
        (
            "no blank line",
            Some("b"),
            "",
            "--b\r\nContent-Type: image/jpeg\r\n",
            "\r\n",
        ),
        ("each closes", Some("b"), "--b\r\n", "\r\n", "\r\n--b--\r\n"),
        ("a boundary nobody told", None, "", "--b\r\n\r\n", "\r\n"),
        ("no boundary at all", None, "", "", ""),
        (
            "headers alone",
            None,
            "",
            "Content-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "too short",
            Some("b"),
            "",
            "--b\r\nContent-Length: 200\r\n\r\n",
            "\r\n",
        ),
        (
            "too long",
            Some("b"),
            "",
            "--b\r\nContent-Length: 900\r\n\r\n",
            "\r\n",
        ),
        (
            "no number",
            Some("b"),
            "",
            "--b\r\nContent-Length: -1\r\n\r\n",
            "\r\n",
        ),
        (
            "zero",
            Some("b"),
            "",
            "--b\r\nContent-Length: 0\r\n\r\n",
            "\r\n",
        ),
    ] {
        let (body, pictures) = body(opening, before, after);
        for piece in [1, 7, 100_000] {
            let (read, error) = read(&body, boundary, piece);
            assert!(error.is_none(), "{what}, in pieces of {piece}: {error:?}");
            assert!(
                read == pictures,
                "{what}, in pieces of {piece}: {}",
                read.len()
            );
        }
    }
}

#[test]
fn header_lines_are_bounded_all_together() {
    let long = [&b"--b\r\nX: "[..], &[b'x'; 20_000], b"\r\nY: y\r\n"].concat();
    let blank = [&b"--b\r\n"[..], &b"X:\n".repeat(20_000)].concat();
    for body in [long, blank, vec![b'\n'; 20_000]] {
        let (pictures, error) = read(&body, Some("b"), 64 << 10);
        assert!(pictures.is_empty());
        assert!(matches!(error, Some(UrlError::NoParts)), "{error:?}");
    }
}

/// What keeps one thread busy keeps other cameras and viewers waiting.
#[test]
fn what_looks_like_delimiters_costs_no_more_than_its_length() {
    let parts = |body: Vec<u8>| {
        let (told, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(read(&body, Some("b"), 64 << 10).0.len()));
        // Hours, where the cost grows with the square.
        done.recv_timeout(std::time::Duration::from_secs(60))
            .unwrap()
    };
    let sized = |part: Vec<u8>| {
        let headers = format!("--b\r\nContent-Length: {}\r\n\r\n", part.len());
        [headers.as_bytes(), &part].concat()
    };
    let no_ends = [END, b"b"].concat().repeat(1 << 20);
    assert_eq!(parts(sized(no_ends)), 0);
    let tiny = b"\xFF\xD8\xFF\xD9\r\n--b\r\n\r\n".repeat(400 << 10);
    assert_eq!(parts(sized(tiny)), 400 << 10);
}
