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
        let mut lines = head.split(|byte| *byte == b'\n');
        let has_body = lines.any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with(b"transfer-encoding:")
                || line.starts_with(b"content-length:") && line.trim_ascii() != b"content-length: 0"
        });
        assert!(!(has_body && request.keep_alive()), "a body is not skipped");
        for key in ["fps", "action", "token", "advance_headers"] {
            let _ = request.query(key);
        }
    });
}
