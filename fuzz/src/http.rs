//! What viewers ask.

use std::time::Duration;

use pinhole_link::http::{
    Request,
    head::{MAX_HEAD_LEN, read_head},
};
use smol::io::AsyncReadExt as _;

use crate::in_pieces;

/// A client's bytes: a head is bounded, nothing behind it is touched, and what
/// is made of it is a request for a path.
pub fn request_head(bytes: &[u8]) {
    smol::block_on(async {
        let mut reader = in_pieces(bytes, 700);
        let Ok(Some(head)) = read_head(&mut reader, Duration::from_secs(60)).await else {
            return;
        };
        assert!(head.len() <= MAX_HEAD_LEN && head.is_ascii());
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(
            [head.as_slice(), &rest].concat(),
            bytes,
            "bytes are lost or changed"
        );
        let Ok(request) = Request::parse(&head).await else {
            return;
        };
        assert!(request.path().starts_with('/'), "{:?}", request.path());
        let has_body = head.split(|byte| *byte == b'\n').any(is_of_body);
        assert!(!(has_body && request.keep_alive()), "a body is not skipped");
        for key in ["fps", "action", "token", "advance_headers"] {
            let _ = request.query(key);
        }
    });
}

/// Whether a header line announces a body. Space on either side of a value is
/// none of it (RFC 9110 section 5.5).
fn is_of_body(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    name.eq_ignore_ascii_case(b"transfer-encoding")
        || name.eq_ignore_ascii_case(b"content-length") && value.iter().any(|digit| *digit != b'0')
}
